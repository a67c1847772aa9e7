//! Whole files: copies that are as durable as what they are compared with, sizes, and the file cache.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use console::Failure;

use crate::failed;

/// Copies a file, then fsyncs copy and folder: what `cp` and two calls of `sync` do. The time that it took.
pub(crate) fn copy_durably(from: &Path, to: &Path) -> Result<Duration, Failure> {
    let began = Instant::now();
    let copied = (|| {
        let mut target = File::create(to)?;
        io::copy(&mut File::open(from)?, &mut target)?;
        target.sync_all()?;
        sync_folder(to)
    })();
    copied.map_err(|error| failed(format!("{}: {error}", to.display())))?;
    Ok(began.elapsed())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Bytes and number of the files in a folder and below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Size {
    /// What came on top of an earlier size.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            files: self.files.saturating_sub(earlier.files),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// The size of a folder; one that does not exist has none.
pub(crate) fn size(folder: &Path) -> Size {
    let mut size = Size::default();
    each_file(folder, &mut |path| {
        size.files += 1;
        size.bytes += path.metadata().map_or(0, |file| file.len());
    });
    size
}

/// Shows every file of a folder and below.
pub(crate) fn each_file(folder: &Path, see: &mut dyn FnMut(&Path)) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() { each_file(&path, see) } else { see(&path) }
    }
}

/// Whether what is read next comes from memory or from the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// From memory: it is read once before.
    Warm,
    /// From the disk, as far as the system lets go of it.
    Cold,
}

impl Cache {
    /// Brings a file, or all files of a folder, into that state.
    pub(crate) fn prepare(self, path: &Path) {
        let prepare = |path: &Path| {
            // A file that cannot be read fails the measurement itself, with a better message.
            let _ = match self {
                Self::Warm => {
                    File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::sink()))
                }
                Self::Cold => File::open(path).and_then(|file| forget(&file)).map(|()| 0),
            };
        };
        if path.is_dir() { each_file(path, &mut |path| prepare(path)) } else { prepare(path) }
    }
}

#[cfg(target_os = "linux")]
fn forget(file: &File) -> io::Result<()> {
    file.sync_all()?;
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// Other systems keep what they have.
#[cfg(not(target_os = "linux"))]
fn forget(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// How long the disk takes to make 4 KiB durable: the median of several appends with fsync.
pub(crate) fn sync_time(folder: &Path) -> Result<Duration, Failure> {
    const TIMES: usize = 25;
    let path = folder.join("sync-time");
    let measure = || -> io::Result<Vec<f64>> {
        let mut file = File::create(&path)?;
        (0..TIMES)
            .map(|_| {
                let began = Instant::now();
                io::Write::write_all(&mut file, &[7; 4096])?;
                file.sync_data()?;
                Ok(began.elapsed().as_secs_f64())
            })
            .collect()
    };
    let times = measure().map_err(|error| failed(format!("{}: {error}", path.display())))?;
    Ok(Duration::from_secs_f64(crate::statistics::median(times)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_equal_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&from, vec![3; 100_000]).unwrap();
        let before = size(folder.path());
        copy_durably(&from, &to).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), std::fs::read(&from).unwrap());
        assert_eq!(size(folder.path()).since(before), Size { files: 1, bytes: 100_000 });
        Cache::Warm.prepare(folder.path());
        Cache::Cold.prepare(&to);
        assert_eq!(std::fs::read(&to).unwrap().len(), 100_000);
        assert_eq!(size(&folder.path().join("missing")), Size::default());
    }
}

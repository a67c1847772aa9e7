//! What the figures were taken on. A fact that this system does not tell is shown as `?`.

use std::fmt;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// The machine and the disk.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Processors that this process may use.
    pub(crate) cores: usize,
    /// The processor's name for itself.
    pub(crate) processor: Option<String>,
    /// Operating system and its version.
    pub(crate) system: Option<String>,
    /// The file system of the scratch folder, with its device.
    pub(crate) file_system: Option<String>,
    /// Processes that were ready to run, averaged over a minute, when the measurement began: above 1, somebody else was
    /// at work, and the figures say less.
    pub(crate) load: Option<f64>,
}

impl Machine {
    /// This one, with the disk of `dir`.
    pub(crate) fn here(dir: &Path) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: processor(),
            system: said("uname", &["-sr"]),
            file_system: file_system(dir),
            load: std::fs::read_to_string("/proc/loadavg").ok().and_then(|text| {
                text.split_whitespace().next().and_then(|first| first.parse().ok())
            }),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "?".to_owned());
        let (processor, system) = (known(&self.processor), known(&self.system));
        write!(f, "{} cores, {processor}, {system}; on {}", self.cores, known(&self.file_system))?;
        self.load.map_or(Ok(()), |load| write!(f, "; load {load:.1} before"))
    }
}

fn processor() -> Option<String> {
    let listed = std::fs::read_to_string("/proc/cpuinfo").ok();
    listed
        .and_then(|text| model(&text))
        .or_else(|| said("sysctl", &["-n", "machdep.cpu.brand_string"]))
}

fn model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
}

fn file_system(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    match std::fs::read_to_string("/proc/self/mounts") {
        Ok(mounts) => mounted(&mounts, &dir),
        Err(_) => {
            said("df", &[dir.to_str()?]).and_then(|text| Some(text.lines().nth(1)?.to_owned()))
        }
    }
}

/// The mount with the longest path above `dir`; of two on one path the later one covers the other.
fn mounted(mounts: &str, dir: &Path) -> Option<String> {
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    fields
        .filter(|(_, path, _)| dir.starts_with(path))
        .max_by_key(|(_, path, _)| path.len())
        .map(|(device, _, kind)| format!("{kind} ({device})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmpx xfs rw 0 0\n";
        assert_eq!(mounted(mounts, Path::new("/tmp/x")), Some("tmpfs (tmpfs)".into()));
        assert_eq!(mounted(mounts, Path::new("/home")), Some("ext4 (/dev/a)".into()));
        assert_eq!(mounted("", Path::new("/")), None);
    }

    #[test]
    fn the_processor_is_named() {
        let text = "processor\t: 0\nmodel name\t: Fast One\nmodel name\t: Fast One\n";
        assert_eq!(model(text), Some("Fast One".into()));
        assert_eq!(model("Features: x"), None);
    }
}

//! Small files of the state folder, replaced whole.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Replaces a small file so that a crash leaves the old content or the new, never a mixture.
///
/// Temporary file in the same folder (mode 0600), fsync, rename, fsync of the folder. A crash before the rename leaves a
/// temporary file whose name begins with a dot.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = NamedTempFile::new_in(folder)?;
    temporary.write_all(content)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

//! The programs that are measured: those beside this one, built first where they are missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use console::Failure;

use crate::failed;

/// Where both are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The shipper.
    pub(crate) walship: PathBuf,
    /// The follower.
    pub(crate) walapply: PathBuf,
}

impl Programs {
    /// Builds what is out of date, in the profile of this program, where cargo and the sources are at hand; else takes
    /// what stands beside it.
    pub(crate) fn find() -> Result<Self, Failure> {
        let own = own()?;
        let folder = own.parent().unwrap_or(Path::new("."));
        build(folder)?;
        let program = |name: &str| {
            let path = folder.join(name);
            let missing = || {
                failed(format!("{} is missing", path.display()))
                    .hint("cargo build --release --workspace --bins")
            };
            path.is_file().then(|| path.clone()).ok_or_else(missing)
        };
        Ok(Self { walship: program("walship")?, walapply: program("walapply")? })
    }

    /// True if both were optimised, as figures require.
    pub(crate) fn are_optimised() -> bool {
        !cfg!(debug_assertions)
    }
}

/// The path of this program, asked for once: after a build that has replaced it, the system knows it no more.
pub(crate) fn own() -> Result<&'static Path, Failure> {
    static OWN: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let own = OWN.get_or_init(|| std::env::current_exe().map_err(|error| error.to_string()));
    own.as_deref().map_err(|error| failed(format!("this program does not find itself: {error}")))
}

fn build(folder: &Path) -> Result<(), Failure> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Some(target) = folder.parent().filter(|_| sources.join("Cargo.toml").is_file()) else {
        return Ok(());
    };
    let mut cargo = Command::new("cargo");
    // Together with this program, so that both share what is built for it already.
    cargo.args(["build", "--quiet", "--bins"]);
    cargo.args(["-p", "benches", "-p", "walship", "-p", "walapply", "--target-dir"]);
    cargo.arg(target).current_dir(&sources);
    if Programs::are_optimised() {
        cargo.arg("--release");
    }
    match cargo.status() {
        Ok(status) if !status.success() => Err(failed("walship and walapply do not build")),
        // No cargo here: what stands beside this program is measured.
        _ => Ok(()),
    }
}

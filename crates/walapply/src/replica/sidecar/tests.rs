//! Every state that a crash may leave of a sidecar is one that can be read.

use super::*;
use crate::replace::RealDisk;
use crate::replace::testing::{Stop, at_every_step};

fn sidecar(ceiling: u64) -> Sidecar {
    Sidecar { ceiling: Seq::new(ceiling), file: None }
}

#[test]
fn what_is_written_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.json");
    assert_eq!(read(&path), Sidecar::default());
    for content in [sidecar(2), sidecar(900)] {
        write(&RealDisk, &path, &content).unwrap();
        assert_eq!(read(&path), content);
    }
}

/// It has fields that nothing reads any more.
#[test]
fn an_older_sidecar_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.json");
    let life = "03".repeat(16);
    fs::write(&path, format!("{{\"incarnation\":\"{life}\",\"floor\":7,\"ceiling\":9}}")).unwrap();
    assert_eq!(read(&path), sidecar(9));
}

/// Nothing is synced, so a power cut may leave any part even of the renamed file.
#[test]
fn a_crash_at_any_step_leaves_the_old_content_or_the_new_and_a_power_cut_perhaps_none() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.json");
    let (old, new) = (sidecar(2), sidecar(900));
    let steps = at_every_step(
        || write(&RealDisk, &path, &old).unwrap(),
        |disk| write(disk, &path, &new),
        |stopped| {
            let expected = if stopped.is_whole { new } else { old };
            let found = read(&path);
            let may_be_lost =
                matches!(stopped.by, Stop::PowerCut(_)) && found == Sidecar::default();
            assert!(may_be_lost || found == expected, "{stopped:?}: {found:?}");
        },
    );
    let bytes = serde_json::to_vec(&new).unwrap().len();
    assert!(steps > bytes, "{steps} steps for {bytes} bytes: they go past the disk");
}

/// What a crash left of one replacement does not stop the next one.
#[test]
fn a_file_that_a_crash_left_beside_is_overwritten() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.json");
    fs::write(path.with_extension("json.new"), [b'x'; 4_000]).unwrap();
    write(&RealDisk, &path, &sidecar(2)).unwrap();
    assert_eq!(read(&path), sidecar(2));
}

#[test]
fn garbage_says_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.json");
    for garbage in [&b"{}"[..], b"[1,2]", b"{\"ceiling\":0}", b"{\"ceiling\":-1}", &[0xff; 100_000]]
    {
        fs::write(&path, garbage).unwrap();
        assert_eq!(read(&path), Sidecar::default());
    }
}

//! Every state that a crash may leave of a sidecar is one that can be read.

use super::*;

fn sidecar(floor: u64, ceiling: u64) -> Sidecar {
    Sidecar {
        incarnation: Some(Incarnation::from_bytes([3; 16])),
        floor: Seq::new(floor),
        ceiling: Seq::new(ceiling),
    }
}

#[test]
fn what_is_written_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.json");
    assert_eq!(read(&path), Sidecar::default());
    for content in [sidecar(1, 2), sidecar(2, 900)] {
        write(&path, &content).unwrap();
        assert_eq!(read(&path), content);
    }
}

/// The steps of `write` are: create or cut the temporary file, write n bytes of it, rename. A crash after each of
/// them leaves the old content or the new one; a power cut may leave any prefix even of the renamed file.
#[test]
fn a_crash_at_any_step_leaves_the_old_content_the_new_or_none() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.json");
    let (old, new) = (sidecar(1, 2), sidecar(7, 9));
    let text = serde_json::to_vec(&new).unwrap();
    for length in 0..=text.len() {
        write(&path, &old).unwrap();
        fs::write(path.with_extension("json.new"), &text[..length]).unwrap();
        assert_eq!(read(&path), old, "before the rename");
        fs::rename(path.with_extension("json.new"), &path).unwrap();
        let expected = if length == text.len() { new } else { Sidecar::default() };
        assert_eq!(read(&path), expected, "after a power cut that kept {length} bytes");
        // The next write goes through whatever was left.
        write(&path, &new).unwrap();
        assert_eq!(read(&path), new);
    }
}

#[test]
fn garbage_says_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.json");
    for garbage in [&b"{}"[..], b"[1,2]", b"{\"floor\":0}", b"{\"floor\":-1}", &[0xff; 100_000]] {
        fs::write(&path, garbage).unwrap();
        assert_eq!(read(&path), Sidecar::default());
    }
}

use super::*;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

const NOW: Millis = Millis::new(1_795_599_000_000);

fn target(folder: &Path) -> Target {
    Target::new(folder.join("a.db")).unwrap()
}

fn draft_with(target: &Target, text: &str) -> Draft {
    let draft = target.draft().unwrap();
    draft.file().write_all(text.as_bytes()).unwrap();
    draft.sync().unwrap();
    draft
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_draft_becomes_the_file_only_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(&folder.path().join("x/y"));
    let draft = draft_with(&target, "new");
    assert!(!target.taken().unwrap());
    draft.put_in_place(Replace::No, NOW).unwrap();
    assert_eq!(fs::read_to_string(target.path()).unwrap(), "new");
    assert_eq!(names(target.folder()), ["a.db"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(target.path()), mode(target.folder())), (0o600, 0o700));
}

#[test]
fn a_dropped_draft_leaves_nothing_and_a_killed_one_is_reused() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    drop(draft_with(&target, "half"));
    assert!(names(folder.path()).is_empty());
    std::mem::forget(draft_with(&target, "a longer half"));
    assert_eq!(names(folder.path()), [".a.db.restoring"]);
}

#[test]
fn a_left_over_draft_is_emptied_first() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    fs::write(folder.path().join(".a.db.restoring"), "a longer half").unwrap();
    draft_with(&target, "new").put_in_place(Replace::No, NOW).unwrap();
    assert_eq!(fs::read_to_string(target.path()).unwrap(), "new");
}

#[test]
fn two_restores_to_one_place_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    let first = draft_with(&target, "first");
    assert!(matches!(target.draft(), Err(TargetError::Busy(_))));
    first.put_in_place(Replace::No, NOW).unwrap();
    assert!(target.draft().is_ok());
}

#[test]
fn what_is_there_is_refused_without_replace() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    fs::write(target.path(), "old").unwrap();
    assert!(matches!(target.check(Replace::No), Err(TargetError::Exists(_))));
    assert!(target.check(Replace::Yes).is_ok());
    fs::remove_file(target.path()).unwrap();
    for companion in COMPANIONS {
        let path = with_suffix(target.path(), companion);
        fs::write(&path, "").unwrap();
        assert!(
            matches!(target.check(Replace::No), Err(TargetError::Stale(stale)) if stale == path)
        );
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_file_that_appears_meanwhile_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    let draft = draft_with(&target, "new");
    fs::write(target.path(), "came first").unwrap();
    assert!(matches!(rename(&draft.path, target.path(), Replace::No), Err(TargetError::Exists(_))));
    assert!(matches!(draft.put_in_place(Replace::No, NOW), Err(TargetError::Exists(_))));
    assert_eq!(fs::read_to_string(target.path()).unwrap(), "came first");
    assert_eq!(names(folder.path()), ["a.db"]);
}

/// SQLite would read it as part of the restored database.
#[test]
fn a_companion_that_appears_meanwhile_is_not_mixed_in() {
    for companion in COMPANIONS {
        let folder = tempfile::tempdir().unwrap();
        let target = target(folder.path());
        let draft = draft_with(&target, "new");
        let path = with_suffix(target.path(), companion);
        fs::write(&path, "came first").unwrap();
        let refused = draft.put_in_place(Replace::No, NOW).unwrap_err();
        assert!(matches!(&refused, TargetError::Stale(stale) if *stale == path), "{refused}");
        assert_eq!(names(folder.path()), [format!("a.db{companion}")]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "came first");
    }
}

#[test]
fn an_old_database_and_its_wal_stay_together_under_a_dated_name() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    for round in 0..2 {
        fs::write(target.path(), "old").unwrap();
        fs::write(with_suffix(target.path(), "-wal"), "commits").unwrap();
        let moved = draft_with(&target, "new").put_in_place(Replace::Yes, NOW).unwrap();
        assert_eq!(moved.len(), 2, "round {round}");
        assert_eq!(fs::read_to_string(&moved[0]).unwrap(), "old");
        assert_eq!(moved[1], with_suffix(&moved[0], "-wal"));
        assert_eq!(fs::read_to_string(target.path()).unwrap(), "new");
    }
    assert!(names(folder.path()).contains(&"a.db.replaced-20261125T093000Z-2-wal".to_owned()));
}

#[test]
fn a_lone_file_is_replaced_without_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    fs::write(target.path(), "old").unwrap();
    assert!(draft_with(&target, "new").put_in_place(Replace::Yes, NOW).unwrap().is_empty());
    assert_eq!(names(folder.path()), ["a.db"]);
}

#[test]
fn folders_and_links_are_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    fs::create_dir(target.path()).unwrap();
    assert!(matches!(Target::new("new/".into()), Err(TargetError::NotAFile(_))));
    assert!(matches!(target.check(Replace::Yes), Err(TargetError::NotAFile(_))));
    fs::remove_dir(target.path()).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    std::os::unix::fs::symlink(&elsewhere, target.path()).unwrap();
    draft_with(&target, "new").put_in_place(Replace::Yes, NOW).unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
    fs::remove_file(target.path()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, target.draft_path()).unwrap();
    assert!(matches!(target.draft(), Err(TargetError::Io { .. })));
}

#[test]
fn a_full_disk_is_said_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let draft = target(folder.path()).draft().unwrap();
    assert!(draft.check_room(1).is_ok());
    assert!(matches!(draft.check_room(u64::MAX), Err(TargetError::Full { .. })));
}

#[test]
fn a_draft_that_a_crash_left_as_a_second_name_of_the_database_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    fs::write(target.path(), "restored").unwrap();
    fs::hard_link(target.path(), target.draft_path()).unwrap();
    let draft = draft_with(&target, "new");
    assert_eq!(fs::read_to_string(target.path()).unwrap(), "restored");
    draft.put_in_place(Replace::Yes, NOW).unwrap();
    assert_eq!(fs::read_to_string(target.path()).unwrap(), "new");
}

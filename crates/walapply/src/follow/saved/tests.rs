use super::*;
use crate::replace::RealDisk;
use crate::replace::testing::{Stop, at_every_step};

fn saved(fleet: u8) -> Saved {
    Saved {
        fleet: FleetId::from_bytes([fleet; 16]),
        position: Position::START,
        catalogue: Catalogue::default(),
        sealed: Sealed::default(),
        gone: Gone::default(),
    }
}

#[test]
fn a_crash_at_any_step_leaves_a_position_that_was_saved_and_a_power_cut_perhaps_none() {
    let scratch = tempfile::tempdir().unwrap();
    let (old, new) = (saved(1), saved(2));
    let found = || {
        let found = |saved: &Saved| Saved::load(scratch.path(), saved.fleet);
        found(&old).or_else(|| found(&new))
    };
    let steps = at_every_step(
        || old.store(&RealDisk, scratch.path()).unwrap(),
        |disk| new.store(disk, scratch.path()),
        |stopped| {
            let expected = if stopped.is_whole { &new } else { &old };
            let found = found();
            let may_be_lost = matches!(stopped.by, Stop::PowerCut(_)) && found.is_none();
            assert!(may_be_lost || found.as_ref() == Some(expected), "{stopped:?}: {found:?}");
        },
    );
    let bytes = serde_json::to_vec(&new).unwrap().len();
    assert!(steps > bytes, "{steps} steps for {bytes} bytes: they go past the disk");
}

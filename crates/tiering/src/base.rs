//! When a database gets a new base.
//!
//! Invariant B1: on top of a base a reader fetches fewer than [`OBJECTS_MAX`] objects that concern the database, with
//! no more changed bytes than the database's size or [`CHANGED_BYTES_MIN`], plus those of the last flush. Healing and
//! restore then never need the whole log, and bases cost at most about as many bytes as the changes themselves.

/// Below this many changed bytes the size of the database does not ask for a base.
pub const CHANGED_BYTES_MIN: u64 = 16 << 20;
/// So many log objects may touch a database before it gets a new base.
pub const OBJECTS_MAX: u64 = 2_000;

/// Whether a database of `size` bytes needs a base, after `changed_bytes` in `objects` log objects since the last.
#[must_use]
pub fn base_due(changed_bytes: u64, objects: u64, size: u64) -> bool {
    changed_bytes > size.max(CHANGED_BYTES_MIN) || objects >= OBJECTS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_base_is_due_past_the_size_or_the_number_of_objects() {
        for (changed, objects, size, due) in [
            (0, 0, 0, false),
            (16 * MIB, 1, 0, false),
            (16 * MIB + 1, 1, 0, true),
            (400 * MIB, 1_999, 400 * MIB, false),
            (400 * MIB + 1, 1, 400 * MIB, true),
            (1, 2_000, 400 * MIB, true),
        ] {
            assert_eq!(base_due(changed, objects, size), due, "{changed} {objects} {size}");
        }
    }
}

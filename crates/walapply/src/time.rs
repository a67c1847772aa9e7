//! Instants as people read them.

use segment::Millis;

/// `2026-11-25T09:30:00.123Z`.
pub(crate) fn rfc3339(instant: Millis) -> String {
    i64::try_from(instant.get())
        .ok()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .map_or_else(|| instant.to_string(), |stamp| format!("{stamp:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_utc_with_milliseconds_and_never_panic() {
        assert_eq!(rfc3339(Millis::new(1_795_599_000_120)), "2026-11-25T09:30:00.120Z");
        assert_eq!(rfc3339(Millis::new(u64::MAX)), u64::MAX.to_string());
    }
}

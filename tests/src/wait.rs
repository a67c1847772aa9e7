//! Waiting for events.

use std::time::{Duration, Instant};

/// Longest wait for something that normally takes a second: the machine may be busy with other tests.
pub const LONG: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `reached` gives a value.
///
/// # Panics
/// With `what`, when it takes longer than [`LONG`].
pub fn until<T>(what: &str, mut reached: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(value) = reached() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {LONG:?} for: {what}");
        std::thread::sleep(PAUSE);
    }
}

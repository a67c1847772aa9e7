//! Waiting for events.

use std::time::{Duration, Instant};

use crate::is_long;

/// Longest wait for something that normally takes a second: the machine may be busy with other tests.
const LONG: Duration = Duration::from_secs(60);
/// The same in long forms, where what is waited for may have to do with much more data.
const LONGEST: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `reached` gives a value.
///
/// # Panics
/// With `what`, when it takes too long: a minute, in long forms ten.
pub fn until<T>(what: &str, mut reached: impl FnMut() -> Option<T>) -> T {
    let patience = if is_long() { LONGEST } else { LONG };
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = reached() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} for: {what}");
        std::thread::sleep(PAUSE);
    }
}

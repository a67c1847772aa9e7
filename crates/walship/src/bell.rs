//! Tells a thread that there may be something to do, so that it need not look again and again.
//!
//! A bell that is rung while nobody listens is heard by the next who does; rung twice, it is heard once.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// See the module's text.
#[derive(Debug, Default)]
pub struct Bell {
    is_rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    /// Rings.
    pub fn ring(&self) {
        *self.is_rung.lock() = true;
        self.heard.notify_one();
    }

    /// Waits for the bell, at most so long; tells whether it was rung since it was last heard.
    #[must_use]
    pub fn wait(&self, longest: Duration) -> bool {
        let mut is_rung = self.is_rung.lock();
        self.heard.wait_while_for(&mut is_rung, |is_rung| !*is_rung, longest);
        std::mem::take(&mut is_rung)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_is_heard_once_also_when_it_was_rung_before() {
        let bell = Bell::default();
        assert!(!bell.wait(Duration::ZERO));
        bell.ring();
        bell.ring();
        assert!(bell.wait(Duration::ZERO));
        assert!(!bell.wait(Duration::ZERO));
        std::thread::scope(|scope| {
            scope.spawn(|| bell.ring());
            assert!(bell.wait(Duration::from_secs(60)));
        });
    }
}

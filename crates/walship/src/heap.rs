//! Memory that a large change needed goes back to the system.
//!
//! glibc keeps what was freed in small pieces, such as pages of databases, for the next who needs it, and the next bulk
//! load may never come. Other allocators give it back by themselves.

/// A segment with more bytes of pages than this is worth it.
const LARGE: u64 = 32 << 20;

/// Gives back what is free, after a segment with so many bytes of pages.
pub fn give_back_after(bytes: u64) {
    if bytes > LARGE {
        give_back();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    // SAFETY: it may be called at any time, from any thread, and touches free memory only.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

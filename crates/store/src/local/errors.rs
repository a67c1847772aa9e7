//! The file system's errors in the store's words.

use super::disk::NOT_PLAIN;
use crate::StoreError;
use segment::ObjectName;
use std::io::{Error, ErrorKind};

/// A read failed.
pub(super) fn on_read(name: &ObjectName, error: Error) -> StoreError {
    match error.kind() {
        NOT_PLAIN | ErrorKind::NotADirectory | ErrorKind::IsADirectory => not_a_file(name),
        ErrorKind::UnexpectedEof => {
            StoreError::transient(name, "the file changed while it was read")
        }
        ErrorKind::PermissionDenied => forbidden(name, error),
        _ => StoreError::transient(name, error),
    }
}

/// A write failed before it could take effect.
pub(super) fn before_effect(name: &ObjectName, error: Error) -> StoreError {
    match error.kind() {
        NOT_PLAIN | ErrorKind::NotADirectory | ErrorKind::IsADirectory => not_a_file(name),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => forbidden(name, error),
        ErrorKind::Unsupported | ErrorKind::TooManyLinks => StoreError::config(format!(
            "the file system cannot hold hard links ({error}); use another folder"
        )),
        _ => StoreError::unavailable(name, error),
    }
}

/// A write may have taken effect, but whether it would survive a power cut is not known.
pub(super) fn after_effect(name: &ObjectName, error: Error) -> StoreError {
    StoreError::ambiguous(name, error)
}

/// A file that no writer of ours can have made.
pub(super) fn too_large(name: &ObjectName, bytes: u64) -> StoreError {
    corrupt(name, format!("{bytes} bytes are more than any object has"))
}

fn not_a_file(name: &ObjectName) -> StoreError {
    corrupt(name, "something other than a plain file stands there or on the way".to_owned())
}

fn corrupt(name: &ObjectName, cause: String) -> StoreError {
    StoreError::Corrupt { what: name.to_string(), cause }
}

fn forbidden(name: &ObjectName, error: Error) -> StoreError {
    StoreError::Forbidden { what: name.to_string(), cause: error.to_string() }
}

//! The machine's id: the one thing here that each system tells in its own way.
//!
//! The parsers of both variants are compiled and tested everywhere; only reading differs.

#[cfg(target_os = "macos")]
use self::macos as system;
#[cfg(not(target_os = "macos"))]
use self::other as system;

/// The id of this machine, or why there is none.
pub(crate) fn machine_id() -> Result<String, String> {
    system::machine_id()
}

#[cfg(target_os = "macos")]
mod macos {
    use std::process::Command;

    /// Asks the I/O registry for the hardware's UUID; the full path, since launchd's PATH may be anything.
    pub(super) fn machine_id() -> Result<String, String> {
        let output = Command::new("/usr/sbin/ioreg")
            .args(["-rd1", "-c", "IOPlatformExpertDevice"])
            .output()
            .map_err(|error| format!("ioreg: {error}"))?;
        super::platform_uuid(&String::from_utf8_lossy(&output.stdout))
            .ok_or_else(|| "ioreg shows no IOPlatformUUID".to_owned())
    }
}

#[cfg(not(target_os = "macos"))]
mod other {
    /// machine-id(5), and where D-Bus alone keeps one.
    const FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

    pub(super) fn machine_id() -> Result<String, String> {
        FILES
            .into_iter()
            .find_map(|file| super::machine_id_file(&std::fs::read_to_string(file).ok()?))
            .ok_or_else(|| format!("{} holds none", FILES.join(" or ")))
    }
}

/// The UUID in a line like `"IOPlatformUUID" = "564D..."`.
#[cfg(any(test, target_os = "macos"))]
fn platform_uuid(registry: &str) -> Option<String> {
    let line = registry.lines().find(|line| line.contains("\"IOPlatformUUID\""))?;
    let value = line.split('"').nth(3)?;
    (!value.is_empty()).then(|| value.to_ascii_lowercase())
}

/// The id in the text of a machine-id file: 32 hexadecimal digits; `uninitialized` stands there before the first boot.
#[cfg(any(test, not(target_os = "macos")))]
fn machine_id_file(text: &str) -> Option<String> {
    let id = text.trim();
    let is_id = id.len() == 32
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        && id.bytes().any(|byte| byte != b'0');
    is_id.then(|| id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_is_found_in_the_registry() {
        let registry = "+-o J316  <class IOPlatformExpertDevice>\n    {\n      \"board-id\" = <\"x\">\n      \
                        \"IOPlatformUUID\" = \"564D0A7C-1111-2222-3333-444455556666\"\n    }\n";
        assert_eq!(
            platform_uuid(registry).as_deref(),
            Some("564d0a7c-1111-2222-3333-444455556666")
        );
        assert_eq!(platform_uuid("\"IOPlatformUUID\" = "), None);
        assert_eq!(platform_uuid(""), None);
    }

    #[test]
    fn only_a_real_machine_id_counts() {
        let id = "0123456789ABCDEF0123456789abcdef";
        assert_eq!(machine_id_file(&format!("{id}\n")), Some(id.to_lowercase()));
        for text in ["", "uninitialized\n", "0123", &"0".repeat(32), &"g".repeat(32)] {
            assert_eq!(machine_id_file(text), None, "{text}");
        }
    }
}

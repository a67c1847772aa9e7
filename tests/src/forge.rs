//! Log objects that no shipper would write: a log is continued by hand, with whatever a test puts into it.

use std::fs;
use std::path::{Path, PathBuf};

use segment::{
    ContentHash, Draft, EncodedBody, Header, Millis, ObjectName, Record, SectionEntry, Table,
    encode,
};
use store::LocalStore;

/// The end of a log that is about to be continued.
#[derive(Debug)]
pub struct Forge {
    store: PathBuf,
    /// The last true object.
    pub last: Table,
}

impl Forge {
    /// At the end of this log.
    #[must_use]
    pub fn at_the_end_of(store: &Path) -> Self {
        let local = LocalStore::open(store, false).expect("a store");
        let held = fleet_log::held(&local).expect("a sound log").expect("a log");
        let seq = held.tail.last().expect("a last object");
        let last = fleet_log::table(&local, seq).expect("the last table");
        Self { store: store.to_owned(), last }
    }

    /// The header that a true next object would have.
    #[must_use]
    pub fn header(&self) -> Header {
        let mut header = self.last.header.clone();
        header.seq = header.seq.map(segment::Seq::next);
        header.previous = self.last.hash;
        header.stamp = Millis::new(header.stamp.get() + 1_000);
        header
    }

    /// The bytes of the next object with this content.
    #[must_use]
    pub fn object(
        &self,
        records: Vec<Record>,
        sections: Vec<(SectionEntry, Option<EncodedBody>)>,
    ) -> Vec<u8> {
        encode(&Draft { header: self.header(), records, sections }).bytes
    }

    /// The name of the next object.
    #[must_use]
    pub fn name(&self) -> ObjectName {
        ObjectName::log(self.header().seq.expect("a log object"))
    }

    /// Puts bytes under the next name, whatever they are.
    pub fn put(&self, bytes: &[u8]) {
        fs::write(self.store.join(self.name().as_str()), bytes).expect("written");
    }

    /// Takes it away again.
    pub fn withdraw(&self) {
        fs::remove_file(self.store.join(self.name().as_str())).expect("removed");
    }
}

/// Exchanges bytes in header or table, all occurrences, and seals the object anew.
///
/// # Panics
/// If they are not there.
#[must_use]
pub fn doctor(object: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "lengths stay as they are");
    let end = sealed_bytes(object);
    let mut bytes = object.to_vec();
    let places: Vec<_> =
        (0..end - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "nothing to exchange");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    reseal(bytes, end)
}

/// Writes bytes at an offset of header or table, and seals the object anew.
#[must_use]
pub fn poke(object: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let end = sealed_bytes(object);
    let mut bytes = object.to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    reseal(bytes, end)
}

/// Where the section entries begin: offset of the first one.
#[must_use]
pub fn first_section(object: &[u8]) -> usize {
    let records = u32::from_le_bytes(object[288..292].try_into().expect("four bytes"));
    288 + 4 + usize::try_from(records).expect("small") + 4
}

/// Exchanges bytes of the only inline body, with its hash in the table, and seals the object anew.
#[must_use]
pub fn with_body(object: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let end = sealed_bytes(object);
    let mut body = object[end + 32..].to_vec();
    change(&mut body);
    let mut bytes = object[..end + 32].to_vec();
    let entry = first_section(object);
    bytes[16..24].copy_from_slice(&(body.len() as u64).to_le_bytes());
    bytes[entry + 88..entry + 96].copy_from_slice(&(body.len() as u64).to_le_bytes());
    bytes[entry + 96..entry + 128].copy_from_slice(ContentHash::of(&body).as_bytes());
    bytes.extend(body);
    reseal(bytes, end)
}

fn sealed_bytes(object: &[u8]) -> usize {
    288 + u32::from_le_bytes(object[12..16].try_into().expect("four bytes")) as usize
}

fn reseal(mut bytes: Vec<u8>, end: usize) -> Vec<u8> {
    let seal = ContentHash::of(&bytes[..end]);
    bytes[end..end + 32].copy_from_slice(seal.as_bytes());
    bytes
}

//! What the log's rules need to know of a log object: its number, its links, and whose it is.

use segment::{Epoch, Name, Record, SegmentError, SegmentHash, SegmentKind, Seq, Table, WriterId};

/// The facts of one log object whose own hashes were verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Its number, as it says itself.
    pub seq: Seq,
    /// Its hash.
    pub hash: SegmentHash,
    /// The hash of its predecessor.
    pub previous: SegmentHash,
    /// The epoch of its writer.
    pub epoch: Epoch,
    /// Its writer.
    pub writer: WriterId,
    /// The node of its writer.
    pub node: Name,
    /// Whether it is a fence, which begins its epoch.
    pub is_fence: bool,
}

/// Why an object has no facts, or facts that do not fit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Damage {
    /// In words.
    pub detail: String,
    /// A newer program wrote it: upgrading this one is the remedy.
    pub is_newer_format: bool,
}

impl Damage {
    pub(crate) fn new(detail: impl Into<String>) -> Damage {
        Damage { detail: detail.into(), is_newer_format: false }
    }

    pub(crate) fn of(error: &SegmentError) -> Damage {
        Damage { detail: error.to_string(), is_newer_format: error.is_newer_format() }
    }
}

impl Facts {
    /// The facts of a verified segment.
    ///
    /// # Errors
    /// Where it is no log object, or its fence contradicts its header (rule D2).
    pub fn of(table: &Table) -> Result<Facts, Damage> {
        let header = &table.header;
        let seq = match (header.kind, header.seq) {
            (SegmentKind::Log, Some(seq)) => seq,
            _ => return Err(Damage::new("it is not a log segment")),
        };
        let is_fence = has_fence(table)?;
        Ok(Facts {
            seq,
            hash: table.hash,
            previous: header.previous,
            epoch: header.epoch,
            writer: header.writer,
            node: header.node.clone(),
            is_fence,
        })
    }
}

/// A fence stands alone and says of epoch, node and writer what the header says.
fn has_fence(table: &Table) -> Result<bool, Damage> {
    let header = &table.header;
    let mut count = 0;
    for record in &table.records {
        let Record::Fence { epoch, node, writer, .. } = record else { continue };
        count += 1;
        if (epoch, node, writer) != (&header.epoch, &header.node, &header.writer) {
            return Err(Damage::new("its fence is not of the writer that its header names"));
        }
    }
    match count {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Damage::new("it holds more than one fence")),
    }
}

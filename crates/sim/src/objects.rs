//! Log objects as the model knows them: their facts, with a hash that stands for the bytes.

use fleet_log::Position;
use fleet_log::machine::{Facts, Place};
use segment::{Name, SegmentHash, Seq, WriterId};
use std::sync::Arc;

/// An object; shared, because it stands in slots, in memories and in the network at once.
pub(crate) type Object = Arc<Facts>;

/// The node with this number: A, B, ...
pub(crate) fn node_name(node: u8) -> Name {
    let letter = char::from(b'A' + node);
    Name::parse(&letter.to_string()).expect("BUG: a letter is a name")
}

/// The random id of the writer with this number.
pub(crate) fn writer_id(number: u8) -> WriterId {
    WriterId::from_bytes([number; 16])
}

/// What `writer` on `node` builds for `place`; `variant` tells contents apart.
pub(crate) fn build(place: &Place, node: u8, writer: u8, is_fence: bool, variant: u8) -> Object {
    let content = [place.seq.get(), place.epoch.get(), u64::from(node), u64::from(writer)];
    let rest = [u64::from(is_fence), u64::from(variant)];
    let previous = first_word(place.previous);
    let hash = content.into_iter().chain(rest).fold(previous, mix);
    Arc::new(Facts {
        seq: place.seq,
        hash: hash_of_word(hash),
        previous: place.previous,
        epoch: place.epoch,
        writer: writer_id(writer),
        node: node_name(node),
        is_fence,
    })
}

/// The position after an object.
pub(crate) fn position_after(object: &Facts) -> Position {
    Position {
        next: object.seq.next(),
        previous: object.hash,
        epoch: Some(object.epoch),
        owner: Some(object.node.clone()),
        writer: Some(object.writer),
    }
}

/// One line for histories: `3: fence e2 of A#1`.
pub(crate) fn describe(object: &Facts) -> String {
    let kind = if object.is_fence { "fence" } else { "data" };
    let writer = object.writer.as_bytes()[0];
    format!("{}: {kind} e{} of {}#{writer}", object.seq, object.epoch, object.node)
}

pub(crate) fn seq(number: u8) -> Seq {
    Seq::new(u64::from(number)).expect("BUG: slots count from 1")
}

fn hash_of_word(word: u64) -> SegmentHash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&word.to_le_bytes());
    SegmentHash::from_bytes(bytes)
}

fn first_word(hash: SegmentHash) -> u64 {
    let bytes = hash.as_bytes();
    u64::from_le_bytes(std::array::from_fn(|index| bytes[index]))
}

fn mix(state: u64, word: u64) -> u64 {
    let product =
        u128::from(state ^ word.wrapping_add(0x9E37_79B9_7F4A_7C15)) * 0xD6E8_FEB8_6659_FD93;
    (product as u64) ^ ((product >> 64) as u64)
}

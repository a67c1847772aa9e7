//! The checksum that chains the frames of a WAL.
//!
//! Algorithm: <https://sqlite.org/fileformat2.html#checksum_algorithm>. Every captured byte passes through `chain`, so it
//! is the speed limit of capture: each sum waits for the other, two additions for eight bytes, and the words are read
//! in blocks so that nothing else stands between the additions.

/// How the words under the checksum are read; told by the lowest bit of the WAL's magic number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Magic number 0x377f0682.
    Little,
    /// Magic number 0x377f0683.
    Big,
}

impl ByteOrder {
    /// The order that SQLite chooses on this machine.
    pub const NATIVE: ByteOrder =
        if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };
}

/// The two running sums of the checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chain(pub u32, pub u32);

impl Chain {
    /// The sums as they stand in a file: big-endian, whatever the order of the words.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Chain(u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
    }

    /// The bytes that stand for the sums in a file.
    pub const fn to_bytes(self) -> [u8; 8] {
        let ([a, b, c, d], [e, f, g, h]) = (self.0.to_be_bytes(), self.1.to_be_bytes());
        [a, b, c, d, e, f, g, h]
    }
}

/// Continues the sums over `data`.
///
/// # Panics
/// If the length of `data` is not a multiple of 8: headers and pages are.
pub fn chain(order: ByteOrder, data: &[u8], seed: Chain) -> Chain {
    assert!(data.len().is_multiple_of(8), "BUG: {} bytes are not whole pairs of words", data.len());
    match order {
        ByteOrder::Little => sum(data, seed, u32::from_le_bytes),
        ByteOrder::Big => sum(data, seed, u32::from_be_bytes),
    }
}

#[inline(always)]
fn sum(data: &[u8], seed: Chain, word: impl Fn([u8; 4]) -> u32 + Copy) -> Chain {
    let (blocks, rest) = data.as_chunks::<64>();
    let chain = blocks.iter().fold(seed, |chain, block| sum_pairs(block, chain, word));
    sum_pairs(rest, chain, word)
}

#[inline(always)]
fn sum_pairs(
    data: &[u8],
    Chain(mut first, mut second): Chain,
    word: impl Fn([u8; 4]) -> u32,
) -> Chain {
    for [a, b, c, d, e, f, g, h] in data.as_chunks().0 {
        first = first.wrapping_add(word([*a, *b, *c, *d])).wrapping_add(second);
        second = second.wrapping_add(word([*e, *f, *g, *h])).wrapping_add(first);
    }
    Chain(first, second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The algorithm as SQLite's documentation states it.
    fn reference(order: ByteOrder, data: &[u8], seed: Chain) -> Chain {
        let words: Vec<u32> = data
            .chunks(4)
            .map(|word| word.try_into().unwrap())
            .map(|word| {
                if order == ByteOrder::Big {
                    u32::from_be_bytes(word)
                } else {
                    u32::from_le_bytes(word)
                }
            })
            .collect();
        let (mut s0, mut s1) = (seed.0, seed.1);
        for pair in words.chunks(2) {
            s0 = s0.wrapping_add(pair[0]).wrapping_add(s1);
            s1 = s1.wrapping_add(pair[1]).wrapping_add(s0);
        }
        Chain(s0, s1)
    }

    proptest::proptest! {
        #[test]
        fn both_orders_follow_the_documentation(pairs in proptest::collection::vec(proptest::num::u64::ANY, 0..200), a: u32, b: u32) {
            let data: Vec<u8> = pairs.iter().flat_map(|pair| pair.to_le_bytes()).collect();
            for order in [ByteOrder::Little, ByteOrder::Big] {
                proptest::prop_assert_eq!(chain(order, &data, Chain(a, b)), reference(order, &data, Chain(a, b)));
            }
        }

        #[test]
        fn a_chain_may_be_continued_anywhere(pairs in proptest::collection::vec(proptest::num::u64::ANY, 0..64), cut in 0_usize..64) {
            let data: Vec<u8> = pairs.iter().flat_map(|pair| pair.to_le_bytes()).collect();
            let (head, tail) = data.split_at((cut * 8).min(data.len()));
            let whole = chain(ByteOrder::Big, &data, Chain::default());
            proptest::prop_assert_eq!(chain(ByteOrder::Big, tail, chain(ByteOrder::Big, head, Chain::default())), whole);
        }

        #[test]
        fn bytes_and_back(a: u32, b: u32) {
            proptest::prop_assert_eq!(Chain::from_bytes(Chain(a, b).to_bytes()), Chain(a, b));
        }
    }

    #[test]
    #[should_panic(expected = "not whole pairs of words")]
    fn half_a_pair_is_a_bug_of_the_caller() {
        chain(ByteOrder::Little, &[0; 12], Chain::default());
    }
}

use super::*;

fn header(page_size: u32, byte_order: ByteOrder) -> [u8; 32] {
    let salts = Salts(*b"saltSALT");
    WalHeader { page_size, byte_order, checkpoint_seq: 3, salts, chain: Chain::default() }
        .to_bytes()
}

/// The first 32 bytes of a WAL that SQLite 3.40 wrote on x86-64.
const BY_SQLITE: [u8; 32] = [
    0x37, 0x7f, 0x06, 0x82, 0x00, 0x2d, 0xe2, 0x18, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x74, 0xab, 0xb7, 0x56, 0x2b, 0xe6, 0xf0, 0xd7, 0x2b, 0x9e, 0xae, 0x87, 0xbb, 0x77, 0x6c, 0x57,
];

#[test]
fn a_header_that_sqlite_wrote_is_read() {
    let header = WalHeader::parse(&BY_SQLITE).unwrap();
    assert_eq!(
        (header.page_size, header.byte_order, header.checkpoint_seq),
        (4096, ByteOrder::Little, 0)
    );
    assert_eq!(header.salts.0, BY_SQLITE[16..24]);
    assert_eq!(header.to_bytes(), BY_SQLITE);
}

#[test]
fn both_orders_and_all_page_sizes_come_back() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        for shift in 9..=16 {
            let parsed = WalHeader::parse(&header(1 << shift, order)).unwrap();
            assert_eq!(
                (parsed.page_size, parsed.byte_order, parsed.checkpoint_seq),
                (1 << shift, order, 3)
            );
            assert_eq!(parsed.chain.to_bytes(), header(1 << shift, order)[24..]);
        }
    }
}

#[test]
fn every_flipped_bit_is_seen() {
    let good = header(4096, ByteOrder::Big);
    for bit in 0..256 {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(WalHeader::parse(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn each_refusal_has_its_reason() {
    let refusal = |at: usize, byte: u8| {
        let mut bytes = header(4096, ByteOrder::Little);
        bytes[at] = byte;
        WalHeader::parse(&bytes).unwrap_err()
    };
    assert_eq!(refusal(0, 0), WalError::Magic { magic: 0x007f_0682 });
    assert_eq!(refusal(3, 0x81), WalError::Magic { magic: 0x377f_0681 });
    assert_eq!(refusal(7, 0x19), WalError::Version { version: 3_007_001 });
    assert_eq!(refusal(11, 1), WalError::PageSize { size: 4097 });
    assert_eq!(refusal(31, 0), WalError::HeaderChecksum);
}

#[test]
fn frames_stand_one_after_the_other() {
    let header = WalHeader::parse(&header(1024, ByteOrder::Little)).unwrap();
    assert_eq!(header.frame_bytes(), 1048);
    assert_eq!((header.frame_offset(1), header.frame_offset(2)), (32, 1080));
    assert_eq!(header.frame_offset(u32::MAX), 32 + 4_294_967_294 * 1048);
}

#[test]
fn a_frame_header_comes_back() {
    let header = FrameHeader {
        page_no: 0x0102_0304,
        commit_size: 9,
        salts: Salts([5; 8]),
        chain: Chain(6, 7),
    };
    assert_eq!(FrameHeader::parse(&header.to_bytes()), header);
    assert_eq!(header.to_bytes()[..8], [1, 2, 3, 4, 0, 0, 0, 9]);
}

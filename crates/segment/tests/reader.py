#!/usr/bin/env python3
"""Lists a segment and extracts its pages. Written from FORMAT.md alone, with nothing but the standard library.

    reader.py OBJECT [FOLDER]     pages go to FOLDER/<database id>/<page number>
"""
import hashlib
import json
import pathlib
import struct
import sys

KINDS = {1: "log object", 2: "side object", 3: "part of a base"}


def lz4_block(data, size):
    """Decodes one LZ4 block to exactly `size` bytes."""
    out, at = bytearray(), 0

    def length(nibble):
        nonlocal at
        total, more = nibble, nibble == 15
        while more:
            total, more, at = total + data[at], data[at] == 255, at + 1
        return total

    while True:
        token, at = data[at], at + 1
        literals = length(token >> 4)
        out += data[at:at + literals]
        at += literals
        if at >= len(data):
            break
        distance, at = data[at] | data[at + 1] << 8, at + 2
        for _ in range(length(token & 15) + 4):
            out.append(out[-distance])
    if len(out) != size:
        sys.exit(f"a page decodes to {len(out)} bytes, not {size}")
    return bytes(out)


def pages(body, section):
    """Section 4.2: page table, then pages."""
    at = 16 * section["page_count"]
    for index in range(section["page_count"]):
        number, packed, _hash = struct.unpack_from("<IIQ", body, 16 * index)
        encoding, stored = packed >> 24, body[at:at + (packed & 0xFFFFFF)]
        at += len(stored)
        size = section["page_size"]
        if encoding > 2:
            sys.exit(f"page encoding {encoding} is of a newer format")
        yield number, [lambda: stored, lambda: bytes(size), lambda: lz4_block(stored, size)][encoding]()


def sections(table, body_at):
    """Section 4.1: the entries behind the control records."""
    at = 4 + struct.unpack_from("<I", table)[0]
    count, at = struct.unpack_from("<I", table, at)[0], at + 4
    for _ in range(count):
        (db, life, hours, page_size, pages_after, page_count, first, last, pre, post, oldest, previous, length, sha256,
         flags, parts) = struct.unpack_from("<8s16sIIII QQQQ QQQ 32s B3xI".replace(" ", ""), table, at)
        at, names = at + 136, []
        for _ in range(parts):
            size = struct.unpack_from("<H", table, at)[0]
            names.append(table[at + 2:at + 2 + size].decode())
            at += 2 + size + 8 + 32
        yield dict(db=db.hex(), page_size=page_size, pages_after=pages_after, page_count=page_count, first=first,
                   last=last, pre=pre, post=post, body=(body_at, body_at + length), sha256=sha256, parts=names)
        body_at += length


def main(path, folder=None):
    data = pathlib.Path(path).read_bytes()
    if data[:8] != b"WALSHIP\n":
        sys.exit("not a segment")
    version, kind, flags, table_length, body_length, epoch = struct.unpack_from("<HBBIQQ", data, 8)
    if version > 1:
        sys.exit(f"format version {version} is newer than version 1")
    seq, = struct.unpack_from("<Q", data, 96)
    node = data[137:137 + data[136]].decode()
    table, seal = data[288:288 + table_length], data[288 + table_length:320 + table_length]
    if hashlib.sha256(data[:288 + table_length]).digest() != seal:
        sys.exit("the seal does not fit header and table")
    if len(data) != 320 + table_length + body_length:
        sys.exit("the object has another length than its header says")
    print(f"{KINDS[kind]} seq {seq} epoch {epoch} node {node}")
    print(f"hash {seal.hex()} previous {data[64:96].hex()}")
    for record in json.loads(table[4:4 + struct.unpack_from("<I", table)[0]]):
        print("record", *record, json.dumps(record))
    for section in sections(table, 320 + table_length):
        print("section {db} txid {first}-{last} pages {page_count} of {pages_after} checksum {pre:016x} -> {post:016x}"
              .format(**section))
        for part in section["parts"]:
            print("  in", part)
        body = data[slice(*section["body"])]
        if body and hashlib.sha256(body).digest() != section["sha256"]:
            sys.exit("a body does not have its hash")
        for number, page in pages(body, section) if body else ():
            if folder:
                target = pathlib.Path(folder, section["db"])
                target.mkdir(parents=True, exist_ok=True)
                target.joinpath(str(number)).write_bytes(page)


main(*sys.argv[1:])

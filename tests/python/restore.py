"""Restores a database from a store. Written from FORMAT.md alone, with nothing but Python's standard library.

restore.py STORE NAME TARGET [SEQ]      the state after log object SEQ, by default the last one
Numbers in brackets are sections of FORMAT.md.
"""
import hashlib
import json
import pathlib
import struct
import sys

HEADER, SEAL = 288, 32


def require(condition, what):
    if not condition:
        sys.exit(what)


def lz4_block(data, size):
    """https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md"""
    out, at = bytearray(), 0

    def length(nibble):
        nonlocal at
        total, more = nibble, nibble == 15
        while more:
            total, more, at = total + data[at], data[at] == 255, at + 1
        return total

    while at < len(data):
        token, at = data[at], at + 1
        literals = length(token >> 4)
        out += data[at : at + literals]
        at += literals
        if at < len(data):
            distance, at = data[at] | data[at + 1] << 8, at + 2
            for _ in range(length(token & 15) + 4):
                out.append(out[-distance])
    require(len(out) == size, "a page has another length")
    return bytes(out)


class Segment:
    """[3] Header, table and seal, verified."""

    def __init__(self, data):
        self.data = data
        require(data[:8] == b"WALSHIP\n", "not a segment")
        version, self.kind, _, table, body, self.epoch = struct.unpack_from("<HBBIQQ", data, 8)
        require(version == 1, f"format version {version} is not 1")
        self.fleet, self.writer, self.previous = data[32:48], data[48:64], data[64:96]
        self.seq, self.catalogue = struct.unpack_from("<QQ", data, 96)
        self.body_at = HEADER + table + SEAL
        self.hash = data[HEADER + table : self.body_at]
        require(hashlib.sha256(data[: HEADER + table]).digest() == self.hash, "a seal does not fit")
        require(len(data) == self.body_at + body, "an object has another length")
        length = struct.unpack_from("<I", data, HEADER)[0]
        self.records = json.loads(data[HEADER + 4 : HEADER + 4 + length])
        self.sections = list(self.entries(HEADER + 4 + length))

    def entries(self, at):
        """[4.1]"""
        layout = struct.Struct("<8s16sIIIIQQQQQQQ32sB3xI")
        count, at, body_at = struct.unpack_from("<I", self.data, at)[0], at + 4, self.body_at
        for _ in range(count):
            fields = layout.unpack_from(self.data, at)
            at, parts = at + layout.size, []
            for _ in range(fields[-1]):
                size = struct.unpack_from("<H", self.data, at)[0]
                name, at = self.data[at + 2 : at + 2 + size].decode(), at + 2 + size
                parts.append({"name": name, "bytes": int.from_bytes(self.data[at : at + 8], "little"),
                              "sha256": self.data[at + 8 : at + 40].hex()})
                at += 40
            body = self.data[body_at : body_at + fields[12]]
            body_at += fields[12]
            require(not body or hashlib.sha256(body).digest() == fields[13], "a body does not have its hash")
            yield {"db": fields[0].hex(), "life": fields[1].hex(), "page_size": fields[3], "size": fields[4],
                   "count": fields[5], "pre": f"{fields[8]:016x}", "post": f"{fields[9]:016x}", "body": body, "parts": parts}


def pages(section):
    """[4.2]"""
    body, size = section["body"], section["page_size"]
    at = 16 * section["count"]
    for index in range(section["count"]):
        number, packed = struct.unpack_from("<II", body, 16 * index)
        stored, encoding = body[at : at + (packed & 0xFFFFFF)], packed >> 24
        at += len(stored)
        require(encoding <= 2, f"page encoding {encoding}")
        yield number, [lambda: stored, lambda: bytes(size), lambda: lz4_block(stored, size)][encoding]()
    require(at == len(body), "bytes behind the last page")


class Store:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        names = sorted(path.name for path in (self.folder / "log").iterdir() if path.suffix == ".seg")
        self.last = int(names[-1][:20])

    def log(self, seq):
        segment = Segment((self.folder / f"log/{seq:020}.seg").read_bytes())
        require((segment.kind, segment.seq) == (1, seq), "a log object has another number than its name")
        return segment

    def part(self, part):
        """[7] A side object or a part of a base: its one section."""
        data = (self.folder / part["name"]).read_bytes()
        named = (len(data), hashlib.sha256(data).hexdigest()) == (part["bytes"], part["sha256"])
        require(named, f"{part['name']} is not what was named")
        return Segment(data).sections[0]

    def pages(self, section):
        if section["body"]:
            yield from pages(section)
        for part in section["parts"]:
            yield from pages(self.part(part))


def catalogue(store, seq):
    """[6] The databases after log object `seq`, by id."""
    databases = {}
    for number in range(store.log(seq).catalogue, seq + 1):
        segment = store.log(number)
        for record in segment.records:
            (kind, value), = record.items()
            if kind == "catalogue":
                databases = {entry["id"]: entry for entry in value["databases"]}
            elif kind == "announce":
                databases[value["id"]] = databases.get(value["id"], {}) | value
            elif kind == "base":
                databases[value["db"]]["base"] = value
            elif kind == "renamed":
                databases[value["db"]]["name"] = value["name"]
        for section in segment.sections:
            entry = databases[section["db"]]
            entry.update(incarnation=section["life"], checksum=section["post"])
            if entry.get("base", {}).get("incarnation") != section["life"]:
                entry.pop("base", None)
    return databases


def restore(store, name, seq):
    """[7] The image: base, then every section after it. The chain of hashes [8] holds between them."""
    entry, = (each for each in catalogue(store, seq).values() if each["name"] == name)
    base = entry["base"]
    size, image, checksum = base["page_size"], {}, base["checksum"]
    count = base["pages"]
    for part in base["parts"]:
        image.update(pages(store.part(part)))
    before = None
    for number in range((base["at"] or 0) + 1, seq + 1):
        segment = store.log(number)
        require(before in (None, segment.previous), f"log object {number} follows another one")
        before = segment.hash
        for section in segment.sections:
            if (section["db"], section["life"]) == (entry["id"], base["incarnation"]):
                require(section["pre"] == checksum, f"log object {number} changes another state")
                checksum, count = section["post"], section["size"]
                image.update(store.pages(section))
                image = {page: data for page, data in image.items() if page <= count}
    require(checksum == entry["checksum"], "the last change is not the catalogue's")
    lock_page = 2**30 // size + 1
    require(all(page in image for page in range(1, count + 1) if page != lock_page), "a page is missing")
    return b"".join(image.get(page, bytes(size)) for page in range(1, count + 1))


def main(folder, name, target, seq=None):
    store = Store(folder)
    pathlib.Path(target).write_bytes(restore(store, name, int(seq or store.last)))


main(*sys.argv[1:])

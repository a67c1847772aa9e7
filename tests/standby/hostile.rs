//! Log objects made by somebody who may write to the store: rightly chained and sealed, and wrong in one thing. None is
//! applied, none makes the follower write outside its folder, take much memory, or end in any other way than by saying
//! which object is corrupt.

use std::path::PathBuf;
use std::process::{Command, Output};

use e2e::forge::{Forge, doctor, first_section, poke, with_body};
use e2e::objects::{names, snapshot};
use e2e::{Fleet, Ledger, Standby, oracle, shared, until};
use segment::{
    Announcement, BaseRecord, Checksum, ContentHash, DatabaseState, DbId, EncodedBody, Name,
    ObjectName, PageNo, Part, Record, SectionEntry, encode_body,
};

/// More memory than that is refused to the follower.
const MEMORY_KIB_MAX: u32 = 1_500_000;

/// A standby that is up to date, and the end of its log.
struct World {
    fleet: Fleet,
    standby: Standby,
    forge: Forge,
    entry: segment::CatalogueEntry,
    /// Page 2 of the database as it is: a section that writes it changes nothing.
    page_two: Vec<u8>,
}

impl World {
    fn new(test: &str) -> Self {
        let fleet = Fleet::new(test, &["a"]);
        let standby = Standby::of(&fleet);
        Ledger::commit(&fleet.db("a"), 10);
        assert_eq!(fleet.ship_once(), 0);
        standby.catch_up();
        let forge = Forge::at_the_end_of(&fleet.store());
        let entry = fleet.history().catalogue.databases.into_values().next().expect("a database");
        let image = fleet.scratch.file("image");
        assert_eq!(oracle::checksum(&fleet.db("a"), &image), entry.checksum);
        let bytes = std::fs::read(image).expect("the image");
        let size = entry.page_size.expect("a page size").bytes();
        let page_two = bytes[size..2 * size].to_vec();
        Self { fleet, standby, forge, entry, page_two }
    }

    fn section(&self) -> (SectionEntry, Option<EncodedBody>) {
        let page_size = self.entry.page_size.expect("a page size");
        let page = PageNo::new(2).expect("not 0");
        let body = encode_body(page_size, [(page, &self.page_two[..])].into_iter());
        let section = SectionEntry {
            db: self.entry.id,
            incarnation: self.entry.incarnation.expect("a life"),
            class_hours: self.entry.class_hours,
            page_size,
            pages_after: self.entry.pages,
            page_count: 1,
            first_txid: self.entry.txid.next(),
            last_txid: self.entry.txid.next(),
            pre: self.entry.checksum,
            post: self.entry.checksum,
            oldest_commit: self.forge.header().stamp,
            previous_seq: self.entry.changed,
            is_diff: false,
            new_incarnation: false,
            body: None,
            side: Vec::new(),
        };
        (section, Some(body))
    }

    /// A true object that says nothing new: every hostile one is this one with a change.
    fn harmless(&self) -> Vec<u8> {
        self.forge.object(Vec::new(), vec![self.section()])
    }

    fn announcing(&self, name: &str) -> Vec<u8> {
        let announcement = Announcement {
            id: DbId::from_bytes([0xEE; 8]),
            name: Name::parse(name).expect("a name"),
            tier: self.entry.tier.clone(),
            class_hours: 72,
            state: DatabaseState::Empty,
        };
        self.forge.object(vec![Record::Announce(announcement)], Vec::new())
    }

    /// `walapply follow --once` with little memory.
    fn follow(&self) -> Output {
        let follow = self.standby.command("follow");
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("ulimit -v {MEMORY_KIB_MAX}; exec \"$0\" \"$@\" --once --json"));
        command.arg(follow.get_program()).args(follow.get_args()).output().expect("sh runs")
    }

    /// Everything around the standby's databases and state, and the folders above.
    fn surroundings(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = snapshot(self.fleet.scratch.path());
        all.retain(|(path, _)| !path.starts_with(self.standby.state_dir()));
        // What SQLite itself does to its files while they are read.
        all.retain(|(path, _)| {
            !path.to_string_lossy().ends_with("-shm") && !path.ends_with("a.db-wal")
        });
        all
    }

    /// The follower meets these bytes under the next name.
    fn refuses(&self, what: &str, object: &[u8]) {
        self.forge.put(object);
        let before = self.surroundings();
        let output = self.follow();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(4), "{what}: {text}");
        let is_named = names(&text, self.forge.name().as_str()) || text.contains("snap/");
        assert!(is_named, "{what} is not named: {text}");
        let after = self.surroundings();
        let files = |all: &[(PathBuf, Vec<u8>)]| {
            all.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>()
        };
        assert_eq!(files(&before), files(&after), "{what}: files came or went");
        assert!(before == after, "{what}: a file changed");
        self.standby.assert_mirrors(&self.fleet.db("a"), "a");
        self.forge.withdraw();
    }
}

/// Without this the refusals would prove nothing.
#[test]
fn a_forged_object_that_is_right_is_applied() {
    let _turn = shared();
    let world = World::new("hostile-control");
    for object in [world.harmless(), world.announcing("other-name")] {
        world.forge.put(&object);
        let output = world.follow();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        world.forge.withdraw();
        std::fs::remove_dir_all(world.standby.state_dir()).expect("removed");
    }
    assert!(world.standby.db("other-name").exists(), "the file of a database without content");
}

#[test]
fn names_that_lead_out_of_the_folder_are_refused() {
    let _turn = shared();
    let world = World::new("hostile-names");
    let evil = [
        "../../../../evil",
        "/tmp/evil-walship-1",
        "..",
        "..............",
        "a/../../../evil-",
        "evil\\\\..\\\\evil-",
        ".hidden-evil-----",
        "evil evil evil---",
        "evil\\u0000evil---",
        "",
    ];
    for name in evil {
        let placeholder = "z".repeat(name.len().max(1));
        let object = world.announcing(&placeholder);
        if name.is_empty() {
            // One character less makes the JSON end with a blank.
            world
                .refuses("an empty name", &doctor(&object, b"\"name\":\"z\",", b"\"name\":\"\", "));
        } else {
            world.refuses(name, &doctor(&object, placeholder.as_bytes(), name.as_bytes()));
        }
    }
    assert!(!PathBuf::from("/tmp/evil-walship-1.db").exists());
}

#[test]
fn parts_of_a_base_with_hostile_names_and_sizes_are_refused() {
    let _turn = shared();
    let world = World::new("hostile-bases");
    let base = world.entry.base.clone().expect("a base");
    let honest = base.parts[0].name.as_str().to_owned();
    let with_part = |part: Part| {
        let other = BaseRecord { parts: vec![part], ..base.clone() };
        world.forge.object(vec![Record::Base(other)], Vec::new())
    };
    let object = with_part(base.parts[0].clone());
    let mut out = format!("snap/../../../{}", "e".repeat(honest.len()));
    out.truncate(honest.len());
    world.refuses(
        "a part outside of the store",
        &doctor(&object, honest.as_bytes(), out.as_bytes()),
    );
    let absolute = format!("/{}", &honest[1..]);
    world.refuses("an absolute part", &doctor(&object, honest.as_bytes(), absolute.as_bytes()));

    // The damage of these shows when the base is needed.
    let name = ObjectName::parse(&honest).expect("a name");
    let bytes = base.parts[0].bytes;
    for (what, part) in [
        (
            "a part of another length",
            Part { name: name.clone(), bytes: bytes + 1, sha256: base.parts[0].sha256 },
        ),
        (
            "a part of endless length",
            Part { name: name.clone(), bytes: u64::MAX, sha256: base.parts[0].sha256 },
        ),
        ("a part with another hash", Part { name, bytes, sha256: ContentHash::of(b"other") }),
    ] {
        let path = world.standby.db("a");
        world.forge.put(&with_part(part));
        std::fs::remove_dir_all(world.standby.folder()).expect("removed");
        std::fs::create_dir(world.standby.folder()).expect("a folder");
        let output = world.follow();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(4), "{what}: {text}");
        assert!(text.contains("snap/"), "{what} is not named: {text}");
        assert!(!path.exists(), "{what}: something was put in place");
        world.forge.withdraw();
    }
}

#[test]
fn sections_that_lie_are_refused() {
    let _turn = shared();
    let world = World::new("hostile-sections");
    let object = world.harmless();
    let entry = first_section(&object);
    let number = |at: usize, value: u32| poke(&object, entry + at, &value.to_le_bytes());
    let wide = |at: usize, value: u64| poke(&object, entry + at, &value.to_le_bytes());
    for (what, bytes) in [
        ("page size 0", number(28, 0)),
        ("page size 3", number(28, 3)),
        ("page size 2^31", number(28, 1 << 31)),
        ("another page size", number(28, 8_192)),
        ("no pages", number(32, 0)),
        ("size 1, page 2", number(32, 1)),
        ("2^32 - 1 pages", number(32, u32::MAX)),
        ("no page in the section", number(36, 0)),
        ("2^32 - 1 pages in the section", number(36, u32::MAX)),
        ("txids that go back", wide(40, u64::MAX)),
        // A lie about the state before alone is no harm where the file has the state after already.
        ("other states", poke(&object, entry + 56, &[1; 16])),
        ("another state after", wide(64, 1)),
        ("an endless body", wide(88, u64::MAX)),
        ("a body of 2^63 bytes", wide(88, 1 << 63)),
        ("unknown flags", poke(&object, entry + 128, &[0xF0])),
        ("reserved bytes", poke(&object, entry + 129, &[1])),
        ("2^32 - 1 side parts", number(132, u32::MAX)),
        ("another life without a base", poke(&wide(64, 1), entry + 8, &[0x77; 16])),
        (
            "a second section of the database",
            world.forge.object(Vec::new(), vec![world.section(), world.section()]),
        ),
    ] {
        world.refuses(what, &bytes);
    }
}

#[test]
fn pages_that_lie_are_refused() {
    let _turn = shared();
    let world = World::new("hostile-pages");
    let object = world.harmless();
    let entry = |body: &mut Vec<u8>, value: u64| body[..8].copy_from_slice(&value.to_le_bytes());
    let packed = |page: u64, length: u64, encoding: u64| page | length << 32 | encoding << 56;
    let page_bytes = world.page_two.len() as u64;
    // A literal, then matches that repeat it for 16 MiB.
    let bomb = [&[0x1F, 0, 1, 0][..], &[255; 65_536][..], &[0]].concat();
    for (what, bytes) in [
        ("page 0", with_body(&object, |body| body[..4].fill(0))),
        ("page 2^32 - 1", with_body(&object, |body| body[..4].fill(0xFF))),
        (
            "page above the size",
            with_body(&object, |body| {
                body[..4].copy_from_slice(&(world.entry.pages + 1).to_le_bytes());
            }),
        ),
        ("another page's hash", with_body(&object, |body| body[8] ^= 1)),
        ("an unknown encoding", with_body(&object, |body| body[7] = 9)),
        ("the reserved encoding", with_body(&object, |body| body[7] = 3)),
        ("a page table without pages", with_body(&object, |body| body.truncate(16))),
        ("half a page table", with_body(&object, |body| body.truncate(7))),
        ("bytes behind the pages", with_body(&object, |body| body.push(0))),
        (
            "a raw page of half the length",
            with_body(&object, |body| {
                entry(body, packed(2, page_bytes / 2, 0));
                body.truncate(16 + world.page_two.len() / 2);
            }),
        ),
        (
            "a page that decompresses to 16 MiB",
            with_body(&object, |body| {
                body.truncate(16);
                entry(body, packed(2, bomb.len() as u64, 2));
                body.extend(&bomb);
            }),
        ),
        (
            "a short bomb",
            with_body(&object, |body| {
                body.truncate(16);
                let short = &bomb[..3_000];
                entry(body, packed(2, short.len() as u64, 2));
                body.extend(short);
            }),
        ),
        (
            "a match before the beginning",
            with_body(&object, |body| {
                body.truncate(16);
                entry(body, packed(2, 8, 2));
                body.extend([0x1F, 0, 0xFF, 0xFF, 255, 0, 0, 0]);
            }),
        ),
        ("a zero page with bytes", with_body(&object, |body| entry(body, packed(2, 4, 1)))),
    ] {
        world.refuses(what, &bytes);
    }
}

#[test]
fn objects_that_do_not_continue_the_log_are_refused() {
    let _turn = shared();
    let world = World::new("hostile-chain");
    let object = world.harmless();
    let lie = Checksum::default();
    assert_ne!(world.entry.checksum, lie);
    for (what, bytes) in [
        ("another predecessor", poke(&object, 64, &[0xAB; 32])),
        ("another fleet", poke(&object, 32, &[0xAB; 16])),
        ("another writer", poke(&object, 48, &[0xAB; 16])),
        ("another epoch", poke(&object, 24, &99_u64.to_le_bytes())),
        ("another number", poke(&object, 96, &99_u64.to_le_bytes())),
        ("no number", poke(&object, 96, &0_u64.to_le_bytes())),
        ("a side object", poke(&object, 10, &[2])),
        ("an unknown kind", poke(&object, 10, &[9])),
        ("a newer version", poke(&object, 8, &[2])),
        ("another magic", poke(&object, 0, b"WALSHAPE")),
        ("unknown flags in the header", poke(&object, 11, &[0xF0])),
        ("a name of the node with a slash", poke(&object, 137, b"/")),
        ("a broken seal", {
            let mut bytes = object.clone();
            bytes[70] ^= 1;
            bytes
        }),
        ("nothing", Vec::new()),
        ("a header alone", object[..288].to_vec()),
        ("an endless table", {
            let mut bytes = object.clone();
            bytes[12..16].fill(0xFF);
            bytes
        }),
        ("an endless body", {
            let mut bytes = object.clone();
            bytes[16..24].fill(0xFF);
            bytes
        }),
        ("20 MiB of zeros", vec![0; 20 << 20]),
        (
            "records that are no JSON",
            doctor(&world.announcing("zzzz"), b"[{\"announce\"", b"[{{announce\""),
        ),
        ("an unknown record", doctor(&world.announcing("zzzz"), b"announce", b"annihila")),
        ("an unknown state", doctor(&world.announcing("zzzz"), b"\"empty\"", b"\"emptx\"")),
    ] {
        world.refuses(what, &bytes);
    }
}

/// It concerns no database of the standby, so everything else goes on; but it is damage, at every start and in the status.
#[test]
fn a_section_of_an_unknown_database_is_damage_and_left_alone() {
    let _turn = shared();
    let world = World::new("hostile-unknown");
    let object = world.harmless();
    world.forge.put(&poke(&object, first_section(&object), &[0x77; 8]));
    let before = world.surroundings();
    for _ in 0..2 {
        let output = world.follow();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{told}");
        assert!(told.contains(&"77".repeat(8)), "{told}");
    }
    assert!(before == world.surroundings(), "a file changed");
    let follower = world.standby.follow();
    let damage = until("the damage in the status", || {
        world.standby.status()["damage"].as_str().map(ToOwned::to_owned)
    });
    assert!(damage.contains(&"77".repeat(8)), "{damage}");
    world.standby.assert_equal(&world.fleet);
    assert_eq!(follower.terminate(), 0);
}

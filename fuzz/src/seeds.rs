//! Writes the inputs that fuzzing starts from into `corpus/`. Run it in this folder after the format has grown; inputs
//! that stand there already under other names stay.

use std::fs;
use std::path::Path;

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new("corpus").join(target);
    fs::create_dir_all(&folder).expect("the corpus can be written");
    fs::write(folder.join(name), bytes).expect("the corpus can be written");
}

fn main() {
    for (name, bytes) in walship_fuzz::segments() {
        write("segment_decode", &name, &bytes);
    }
    for (name, bytes) in walship_fuzz::wals() {
        write("wal_read", &name, &bytes);
    }
    for (index, name) in NAMES.iter().enumerate() {
        write("object_names", &format!("name-{index:02}"), name.as_bytes());
    }
}

const NAMES: [&str; 16] = [
    "fleet.json",
    "log/00000000000000000042.seg",
    "side/00000000000000000003-000102030405060708090a0b0c0d0e0f-00000000000000000007/0000000001.seg",
    "snap/mail/000102030405060708090a0b0c0d0e0f/00000000000000000003-000102030405060708090a0b0c0d0e0f-00000000000000000007.seg",
    "gc/boundary",
    "hold/000102030405060708090a0b0c0d0e0f",
    "pin/mission-control",
    "standby/forge.local",
    "request/00000000000000000003",
    "pack/00000000000000000001-00000000000000000032.seg",
    "roll/168h/hour-00000000000000000001-00000000000000003600.seg",
    "mission-control",
    "../log/00000000000000000042.seg",
    "log/00000000000000000000.seg",
    "log/18446744073709551616.seg",
    "pin/..",
];

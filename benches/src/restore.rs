//! How long a restore takes, against a copy of the same file: both end with an fsync, both begin with the same state of
//! the file cache, and they take turns.

use std::path::Path;

use console::Failure;
use walship::demo::fleet::Content;

use crate::cli::RestoreArgs;
use crate::failed;
use crate::files::{Cache, copy_durably, size};
use crate::report::{Figure, Report};
use crate::statistics::median;
use crate::world::{Scratch, World, notes, single};

const RATIO_MAX: f64 = 2.0;

pub(crate) fn run(args: &RestoreArgs) -> Result<Report, Failure> {
    let scratch = Scratch::open(&args.place)?;
    let content = Content::Bytes(u64::from(args.mb) * 1_000_000);
    let world = scratch.world("restore", vec![single("large", content)?])?;
    let shipped = world.ship_once()?.as_secs_f64();
    let cache = if args.cold { Cache::Cold } else { Cache::Warm };
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        rounds.push((restore(&world, cache)?, copy(&world, cache)?));
    }
    Ok(Report {
        bench: "restore",
        machine: scratch.machine.clone(),
        setup: format!(
            "a database of {} MB, {cache:?} file cache, medians of {} rounds",
            args.mb, args.rounds
        ),
        figures: figures(&world, &rounds, shipped),
        notes: notes(),
    })
}

fn restore(world: &World, cache: Cache) -> Result<f64, Failure> {
    let target = world.path("restored.db");
    cache.prepare(&world.path("store"));
    let time = world.restore(&["large", "-o", &target.display().to_string()])?;
    remove(&target)?;
    Ok(time.as_secs_f64())
}

fn copy(world: &World, cache: Cache) -> Result<f64, Failure> {
    let target = world.path("copied.db");
    let source = world.primary(&world.fleet[0]);
    cache.prepare(&source);
    let time = copy_durably(&source, &target)?;
    remove(&target)?;
    Ok(time.as_secs_f64())
}

fn remove(path: &Path) -> Result<(), Failure> {
    std::fs::remove_file(path).map_err(|error| failed(format!("{}: {error}", path.display())))
}

fn figures(world: &World, rounds: &[(f64, f64)], shipped: f64) -> Vec<Figure> {
    let copied = median(rounds.iter().map(|(_, copied)| *copied));
    let restored = median(rounds.iter().map(|(restored, _)| *restored));
    let file = world.primary(&world.fleet[0]);
    let mb = file.metadata().map_or(0, |file| file.len()) as f64 / 1e6;
    let fastest = rounds.iter().map(|(restored, _)| *restored).fold(f64::MAX, f64::min);
    let fastest_copy = rounds.iter().map(|(_, copied)| *copied).fold(f64::MAX, f64::min);
    vec![
        Figure::new("restore", restored, "s")
            .against("copy and fsync", copied)
            .ratio_at_most(RATIO_MAX),
        Figure::new("restore, the fastest", fastest, "s").against("the fastest copy", fastest_copy),
        Figure::new("restore, rate", mb / restored, "MB/s").against("copy and fsync", mb / copied),
        Figure::new("the store", size(&world.path("store")).bytes as f64 / 1e6, "MB")
            .against("the file", mb),
        Figure::new("first upload, the program's start included", shipped, "s")
            .against("copy and fsync", copied),
    ]
}

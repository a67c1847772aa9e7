//! What a first start uploads, and what starts upload for which nothing changed.

use std::path::Path;

use console::Failure;
use rustix::process::Signal;
use segment::{PageNo, PageSize, encode_body};

use crate::cli::RestartArgs;
use crate::failed;
use crate::files::{Size, each_file, size};
use crate::report::{Figure, Report};
use crate::tables::{Shipped, shipped};
use crate::world::{LONG, Scratch, World, notes, reference_fleet};

/// Rows that one transaction of the application changes while nobody ships: a few pages.
const CHANGED_PAGES_MAX: f64 = 10.0;

pub(crate) fn run(args: &RestartArgs) -> Result<Report, Failure> {
    let scratch = Scratch::open(&args.place)?;
    let world = scratch.world("restart", reference_fleet(args.fleet)?)?;
    let first = start(&world)?;
    let compressed = compressed(&world)?;
    let again = start(&world)?;
    let killed = killed(&world)?;
    let changed = changed(&world)?;
    let sizes = if args.fleet.full { "real" } else { "small" };
    Ok(Report {
        bench: "restart",
        machine: scratch.machine.clone(),
        setup: format!(
            "{} databases of {sizes} sizes, `walship replicate --once`",
            args.fleet.databases
        ),
        figures: [first_figures(&first, compressed), later_figures("without changes", &again, 0.0)]
            .into_iter()
            .chain([later_figures("after kill -9, without changes", &killed, 0.0)])
            .chain([later_figures("after one transaction", &changed, CHANGED_PAGES_MAX)])
            .flatten()
            .collect(),
        notes: [
            vec![
                "LZ4: every page of every restored database through the codec, and nothing else"
                    .into(),
            ],
            notes(),
        ]
        .concat(),
    })
}

/// What one start put into the store.
struct Start {
    seconds: f64,
    stored: Size,
    shipped: Shipped,
}

fn start(world: &World) -> Result<Start, Failure> {
    observe(world, || world.ship_once().map(|time| time.as_secs_f64()))
}

fn observe(world: &World, act: impl FnOnce() -> Result<f64, Failure>) -> Result<Start, Failure> {
    let store = world.path("store");
    let (size_before, before) = (size(&store), shipped(&store)?);
    let seconds = act()?;
    let shipped = shipped(&store)?.since(before);
    Ok(Start { seconds, stored: size(&store).since(size_before), shipped })
}

/// A shipper that was killed in its sleep, and its successor.
fn killed(world: &World) -> Result<Start, Failure> {
    let mut shipper = world.ship(None)?;
    world.wait_shipping(&mut shipper)?;
    shipper.signal(Signal::KILL)?;
    // It ends with the signal, which is no success: that is what was wanted.
    let _ = shipper.wait(LONG);
    start(world)
}

/// One transaction in one database while nobody ships.
fn changed(world: &World) -> Result<Start, Failure> {
    let path = world.primary(&world.fleet[0]);
    let change = || {
        let mut application = walship::demo::application::Application::open(&path, 1)?;
        application.transact()
    };
    change().map_err(|error| failed(format!("{}: {error}", path.display())))?;
    start(world)
}

/// The size of all databases, each page by itself through the codec.
fn compressed(world: &World) -> Result<(u64, u64), Failure> {
    let folder = world.path("restored");
    let result = world.restore(&["--all", "-o", &folder.display().to_string()]);
    result?;
    let (mut raw, mut encoded, mut wrong) = (0, 0, None);
    each_file(&folder, &mut |path| match encode(path) {
        Ok((bytes, body)) => {
            raw += bytes;
            encoded += body;
        }
        Err(failure) => wrong = Some(failure),
    });
    wrong.map_or(Ok((raw, encoded)), Err)
}

fn encode(path: &Path) -> Result<(u64, u64), Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    let Some(size) = bytes.get(16..18) else { return Ok((0, 0)) };
    let size = u32::from(u16::from_be_bytes([size[0], size[1]]));
    let size = PageSize::new(if size == 1 { 65_536 } else { size })
        .ok_or_else(|| failed(format!("{}: not a database", path.display())))?;
    let numbers = (1..).map_while(PageNo::new);
    let body = encode_body(size, numbers.zip(bytes.chunks_exact(size.bytes())));
    Ok((bytes.len() as u64, body.bytes.len() as u64))
}

fn first_figures(first: &Start, (raw, encoded): (u64, u64)) -> Vec<Figure> {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    vec![
        Figure::new("first start: bytes uploaded", mb(first.stored.bytes), "MB")
            .against("the databases through LZ4", mb(encoded))
            .ratio_at_most(1.1),
        Figure::new("first start: pages of the databases", first.shipped.base_pages as f64, ""),
        Figure::new("first start: pages uploaded besides", first.shipped.log_pages as f64, "")
            .at_most(0.0),
        Figure::new("the databases through LZ4", mb(encoded), "MB")
            .against("the databases", mb(raw)),
        Figure::new("first start: time", first.seconds, "s"),
    ]
}

fn later_figures(name: &str, start: &Start, pages_max: f64) -> Vec<Figure> {
    vec![
        Figure::new(format!("{name}: pages uploaded"), start.shipped.pages() as f64, "")
            .at_most(pages_max),
        Figure::new(format!("{name}: bytes uploaded"), start.stored.bytes as f64 / 1e3, "kB"),
        Figure::new(format!("{name}: time"), start.seconds, "s"),
    ]
}

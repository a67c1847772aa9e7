//! Shipper, follower and applications are killed at random moments for a while; then everything comes to rest, and every
//! database is the same on both sides, and can be restored as it is.

use std::time::{Duration, Instant};

use e2e::{Fleet, Ledger, Program, Reading, Rng, Standby, alone, scaled};
use serde_json::json;

const NAMES: [&str; 4] = ["calm", "wild", "heavy", "rare"];

/// An application that is started again after each kill.
struct Application {
    name: &'static str,
    writer: Option<Ledger>,
}

impl Application {
    fn start(name: &'static str, fleet: &Fleet, rng: &mut Rng) -> Self {
        let mut application = Self { name, writer: None };
        application.restart(fleet, rng);
        application
    }

    fn restart(&mut self, fleet: &Fleet, rng: &mut Rng) {
        if let Some(writer) = self.writer.take() {
            writer.kill();
        }
        let seed = rng.below(1 << 30);
        let options = match self.name {
            "wild" => json!({"rate": 60, "turmoil": true, "seed": seed}),
            "heavy" => {
                json!({"rate": 20, "bytes": 60_000, "keep": 60, "seed": seed, "page_size": 8192})
            }
            "rare" => json!({"rate": 2, "seed": seed, "page_size": 1024}),
            _ => json!({"rate": 120, "seed": seed}),
        };
        self.writer = Some(Ledger::write(&fleet.db(self.name), &options));
    }

    /// The count of commits of its database.
    fn stop(&mut self) -> u64 {
        let report = self.writer.take().expect("BUG: it runs").stop();
        report["commits"].as_u64().expect("a number")
    }
}

#[test]
fn both_sides_are_equal_whatever_is_killed_whenever() {
    let _turn = alone();
    let mut rng = Rng::seeded("chaos");
    let fleet = Fleet::new("chaos", &NAMES).sync_interval("50ms");
    let standby = Standby::of(&fleet);
    let mut applications = NAMES.map(|name| Application::start(name, &fleet, &mut rng));
    let mut readers = NAMES.map(|name| Ledger::read(&standby.db(name), Reading::Fresh));
    let (mut shipper, mut follower) = (fleet.ship_unawaited(), standby.follow());
    let (began, mut kills) = (Instant::now(), [0; 3]);
    while began.elapsed() < Duration::from_secs(scaled(12, 600)) {
        std::thread::sleep(rng.moment(Duration::from_millis(500)));
        let whom = usize::try_from(rng.below(3)).expect("small");
        kills[whom] += 1;
        match whom {
            0 => replace(&mut shipper, || fleet.ship_unawaited()),
            1 => replace(&mut follower, || standby.follow()),
            _ => {
                let which = usize::try_from(rng.below(4)).expect("small");
                applications[which].restart(&fleet, &mut rng);
            }
        }
    }
    println!("killed: shipper {}, follower {}, applications {}", kills[0], kills[1], kills[2]);
    let commits = applications.each_mut().map(Application::stop);
    for (reader, commits) in readers.iter_mut().zip(commits) {
        assert!(reader.sees(commits), "a reader never saw commit {commits}");
    }
    for reader in readers {
        let report = reader.stop();
        println!("{report}");
        assert!(report.get("wrong").is_none(), "{report}");
    }
    standby.await_equal(&fleet);
    assert_eq!(follower.terminate(), 0);
    fleet.finish(shipper);
    standby.assert_equal(&fleet);
    // What was shipped and applied is not done again.
    let before = fleet.history().last();
    assert_eq!(fleet.ship_once(), 0);
    standby.catch_up();
    let since = fleet.history().since(before);
    assert!(NAMES.iter().all(|name| since.pages(name) == 0), "a restart shipped pages anew");
}

fn replace(program: &mut Program, start: impl FnOnce() -> Program) {
    // kill -9 first: the next one would find the state folder locked.
    program.signal(rustix::process::Signal::KILL);
    while program.is_running() {
        std::thread::sleep(Duration::from_millis(1));
    }
    *program = start();
}

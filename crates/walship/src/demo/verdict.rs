//! The verdict: one line for people that says whether all is equal, and the figures behind it.

use console::output::bytes;
use console::{ExitCode, Failure};
use serde::Serialize;

use super::latency::Latency;

/// The whole report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Whether every database is the same on both sides and no reader saw anything wrong.
    pub equal: bool,
    /// What was compared.
    pub databases: Databases,
    /// Transactions that the writers have committed.
    pub transactions: u64,
    /// Writer processes.
    pub writers: usize,
    /// From commit to readable on the standby, of the probes that no outage touched.
    pub latency: Latency,
    /// The same of all probes, also those that waited for a restart.
    pub latency_with_outages: Latency,
    /// What was put into the store.
    pub shipped: ShippedFigures,
    /// Programs that were killed on the way and went on.
    pub kills: Kills,
    /// Reads of the standby while it was written.
    pub reads: Reads,
    /// Where the time went.
    pub seconds: Seconds,
    /// The folder, if it is still there.
    pub dir: Option<String>,
}

/// What was compared.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Databases {
    /// All of them.
    pub total: usize,
    /// Those that are the same on both sides.
    pub equal: usize,
    /// Compared with the standby's file.
    pub followed: usize,
    /// Compared with a file that was restored from the store.
    pub restored: usize,
    /// Pages of the copies that are equal.
    pub pages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The others.
    pub different: Vec<Different>,
}

/// A database that is not the same on both sides.
#[derive(Clone, Debug, Serialize)]
pub struct Different {
    /// Its name.
    pub name: String,
    /// Its tier.
    pub tier: String,
    /// What differs.
    pub why: String,
}

/// What was put into the store.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ShippedFigures {
    /// Bytes.
    pub bytes: u64,
    /// Objects.
    pub objects: u64,
}

/// How often each program was killed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Kills {
    /// `walship replicate`.
    pub shipper: u32,
    /// `walapply follow`.
    pub follower: u32,
}

/// Reads of the standby.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reads {
    /// Reads whose sum was right.
    pub whole: u64,
    /// Reads with a wrong sum, and reads that were refused.
    pub wrong: u64,
    /// The first of them.
    pub findings: Vec<String>,
}

/// Seconds of each part.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Seconds {
    /// Making the databases.
    pub make: f64,
    /// Until the standby had all of them.
    pub first_sync: f64,
    /// Under load, with the kills.
    pub live: f64,
    /// From the last commit until everything was applied.
    pub drain: f64,
    /// Restoring what is not followed, and comparing.
    pub compare: f64,
    /// All of it.
    pub total: f64,
}

impl Verdict {
    /// The verdict as the result of the command.
    ///
    /// # Errors
    /// With the report as its document, unless all is equal.
    pub fn result(&self) -> Result<(), Failure> {
        if self.equal {
            return Ok(());
        }
        let document = serde_json::json!(self);
        Err(Failure::new(ExitCode::Failed, self.what_is_wrong())
            .hint(self.dir.as_ref().map_or_else(
                || "run it again with --dir DIR to keep databases, store and logs".to_owned(),
                |dir| format!("databases, store and logs are in {dir}"),
            ))
            .document(document))
    }

    fn what_is_wrong(&self) -> String {
        let different = self.databases.different.iter();
        let different =
            different.map(|each| format!("{} ({}): {}", each.name, each.tier, each.why));
        let findings = self.reads.findings.iter().map(|finding| format!("read of {finding}"));
        let all: Vec<String> = different.chain(findings).collect();
        format!("not equal: {}", all.join("; "))
    }

    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let Databases { total, equal, followed, restored, pages, .. } = self.databases;
        let word = if self.equal { "EQUAL" } else { "NOT EQUAL" };
        let lines = [
            format!(
                "{word}: {equal} of {total} databases are the same on both sides \
                 ({followed} followed, {restored} restored; {pages} pages, {}; integrity_check ok)",
                bytes(self.databases.bytes)
            ),
            format!("  committed  {} transactions by {} writers", self.transactions, self.writers),
            self.latency_line(),
            format!(
                "  shipped    {} in {} objects",
                bytes(self.shipped.bytes),
                self.shipped.objects
            ),
            format!(
                "  killed     shipper {}x, follower {}x (kill -9), both went on",
                self.kills.shipper, self.kills.follower
            ),
            format!(
                "  read       {} times on the standby meanwhile, {} torn or refused",
                self.reads.whole + self.reads.wrong,
                self.reads.wrong
            ),
            self.seconds_line(),
        ];
        lines.join("\n")
    }

    fn latency_line(&self) -> String {
        let (calm, all) = (self.latency, self.latency_with_outages);
        if calm.probes == 0 {
            return "  readable   too short a run to tell how soon: see --seconds".to_owned();
        }
        format!(
            "  readable   p50 {} ms, p99 {} ms after the commit ({} probes; {} ms at most across the kills)",
            calm.p50_ms, calm.p99_ms, calm.probes, all.max_ms
        )
    }

    fn seconds_line(&self) -> String {
        let Seconds { make, first_sync, live, drain, compare, total } = self.seconds;
        format!(
            "  took       {total:.1} s: make {make:.1}, first sync {first_sync:.1}, live {live:.1}, \
             drain {drain:.1}, compare {compare:.1}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal() -> Verdict {
        let databases =
            Databases { total: 6, equal: 6, followed: 5, restored: 1, ..Databases::default() };
        Verdict { equal: true, databases, writers: 4, ..Verdict::default() }
    }

    #[test]
    fn all_equal_is_success() {
        let verdict = equal();
        assert_eq!(verdict.result(), Ok(()));
        assert!(verdict.text().starts_with("EQUAL: 6 of 6 databases"), "{}", verdict.text());
    }

    #[test]
    fn any_difference_is_a_failure_that_names_it_and_carries_the_report() {
        let mut verdict = equal();
        verdict.equal = false;
        verdict.databases.different.push(Different {
            name: "tasks".into(),
            tier: "p0-critical".into(),
            why: "2 pages differ, the first is page 3".into(),
        });
        let failure = verdict.result().unwrap_err();
        assert_eq!(failure.exit, ExitCode::Failed);
        assert!(failure.error.contains("tasks (p0-critical): 2 pages differ"), "{failure}");
        assert_eq!(failure.json()["databases"]["different"][0]["name"], "tasks");
        assert!(verdict.text().starts_with("NOT EQUAL"), "{}", verdict.text());
    }
}

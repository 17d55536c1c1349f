//! What the checks say of an image, in short: for thousands of images.

use ntmem::checks::{Missing, Why};
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, ReadOptions, System, Verdict, check_smss};

/// What became of one image.
#[derive(Debug)]
pub struct Judged {
    /// The verdict; none: no kernel or no process was found, and why.
    pub verdict: Result<Verdict, String>,
    /// What counts: rule, severity, pid, what was observed.
    pub counted: Vec<Counted>,
    /// What is unknown: rule, pid, why and what was observed.
    pub unknown: Vec<(String, Option<u64>, String)>,
    /// What was read.
    pub system: Option<System>,
}

/// A violation that counts.
#[derive(Debug)]
pub struct Counted {
    pub rule: String,
    pub severity: String,
    pub pid: Option<u64>,
    pub observed: String,
}

impl Judged {
    /// Opens an image from its bytes and judges it.
    pub fn new(store: &SymbolStore, bytes: Vec<u8>, scan: bool) -> Self {
        match read(store, bytes, scan) {
            Ok(system) => {
                let findings = check_smss(&system);
                let counted = findings.violations().filter(|outcome| outcome.counts()).map(|outcome| Counted {
                    rule: outcome.id.clone(),
                    severity: outcome.severity.map_or_else(String::new, |severity| severity.to_string()),
                    pid: outcome.pid,
                    observed: outcome.observed.clone().unwrap_or_default(),
                });
                findings.unknown().filter_map(|outcome| outcome.missing.as_ref()).for_each(sentence);
                let unknown = findings.unknown().map(|outcome| {
                    let why = [&outcome.reason, &outcome.observed].into_iter().flatten().cloned().collect::<Vec<_>>();
                    (outcome.id.clone(), outcome.pid, why.join("; observed: "))
                });
                Self {
                    verdict: Ok(findings.verdict),
                    counted: counted.collect(),
                    unknown: unknown.collect(),
                    system: Some(system),
                }
            }
            Err(why) => Self { verdict: Err(why), counted: Vec::new(), unknown: Vec::new(), system: None },
        }
    }

    /// The verdict in a word.
    pub fn word(&self) -> &'static str {
        match self.verdict {
            Ok(Verdict::Clean) => "clean",
            Ok(Verdict::Violations) => "violations",
            Ok(Verdict::Inconclusive) => "inconclusive",
            Err(_) => "no result",
        }
    }

    /// True where something counts.
    pub fn accuses(&self) -> bool {
        self.verdict.as_ref().is_ok_and(|verdict| *verdict == Verdict::Violations)
    }

    /// What counts, a line.
    pub fn words(&self) -> String {
        let line = |counted: &Counted| {
            let Counted { rule, severity, pid, observed } = counted;
            format!("{rule} ({severity}) {pid:?}: {observed}")
        };
        self.counted.iter().map(line).collect::<Vec<_>>().join(" | ")
    }

    /// What counts, and what is unknown of the whole set of processes, a line.
    pub fn words_with_unknown(&self) -> String {
        let of_set = |rule: &str| ["SMSS-006", "SMSS-020", "SMSS-021"].contains(&rule);
        let unknown = self.unknown.iter().filter(|(rule, _, _)| of_set(rule));
        let unknown = unknown.map(|(rule, pid, why)| format!("{rule} unknown {pid:?}: {why}"));
        std::iter::once(self.words()).filter(|words| !words.is_empty()).chain(unknown).collect::<Vec<_>>().join(" | ")
    }
}

fn read(store: &SymbolStore, bytes: Vec<u8>, scan: bool) -> Result<System, String> {
    let image = MemoryImage::from_bytes(bytes).map_err(|error| error.to_string())?;
    let kernel = image.locate_kernel(store).map_err(|error| error.to_string())?;
    System::read_with(&kernel, &ReadOptions { scan, ..ReadOptions::default() }).map_err(|error| error.to_string())
}

/// What is missing and why make a sentence, in whatever they are put: "needs the PEB path, which was unreadable", "needs to know whether it
/// runs, which was not told".
pub fn sentence(missing: &Missing) {
    let what = missing.what.split(' ').next().unwrap_or_default();
    assert!(!["whose", "who", "it", "that", ""].contains(&what) && !missing.what.ends_with('.'), "{missing}");
    let Why::Reason(why) = &missing.why else { return };
    let first = why.split([' ', ':']).next().unwrap_or_default();
    let clause = ["it", "its", "there", "they", "that", "this", "some", "all", "whose", "the", "one", ""];
    let word = first.chars().all(|c| c.is_ascii_lowercase());
    assert!(word && !clause.contains(&first) && !why.ends_with('.'), "\"which was {why}\" is no sentence");
}

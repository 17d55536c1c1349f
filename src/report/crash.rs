//! What a triage dump says, as a document.

use crate::kernel::{CrashFacts, CrashObjects, TriageDump};
use serde::Serialize;

/// The document of a triage dump: the members that every document has, and `crash`.
#[derive(Clone, Debug, Serialize)]
pub struct CrashDocument {
    schema: u32,
    generator: String,
    warnings: Vec<String>,
    image: Kind,
    /// What the dump says.
    pub crash: CrashFacts,
}

#[derive(Clone, Debug, Serialize)]
struct Kind {
    format: &'static str,
}

impl CrashDocument {
    /// The document of this dump, with what layouts made of its process and thread.
    #[must_use]
    pub fn new(dump: &TriageDump, objects: Option<CrashObjects>) -> Self {
        Self {
            schema: super::document::SCHEMA,
            generator: super::generator(),
            warnings: vec![
                "image: a triage dump holds no memory of the machine: no process can be listed or judged".to_owned(),
            ],
            image: Kind { format: "crash_dump_triage" },
            crash: CrashFacts { objects, ..dump.facts() },
        }
    }
}

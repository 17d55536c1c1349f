//! Forged images of every build: what is read equals what was written.

use crate::common;
use crate::common::forged::{Opened, document};
use ntmem::{Verdict, check_smss};
use ntmem_forge::{Build, Scenario};

#[test]
fn every_build_is_read_as_written() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        let opened = Opened::new(&forged);
        let truth = serde_json::from_str(&forged.truth.to_json()).unwrap();
        common::assert_agrees(&format!("{build:?}"), &document(&opened.system()), &truth);
    }
}

#[test]
fn no_clean_build_is_accused() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        let findings = check_smss(&Opened::new(&forged).system());
        let violations: Vec<String> =
            findings.violations().filter(|violation| violation.counts()).map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{build:?}: {violations:#?}");
        assert_ne!(findings.verdict, Verdict::Violations);
    }
}

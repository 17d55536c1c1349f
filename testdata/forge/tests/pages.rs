//! Pages behind page files, sections and the compressed store: every machine can be made, and the truth says where its pages are.

use ntmem_forge::{Behind, Build, Needs, Scenario, Tampered, TruthPlace};

#[test]
fn every_mechanism_of_every_build() {
    for build in Build::ALL {
        for what in Behind::ALL.into_iter().filter(|b| b.is_in(build)) {
            let forged = Scenario::clean(build).behind(what).forge();
            let smss = forged.truth.process(348).expect("smss");
            let page = |at: u64| {
                let found = forged.truth.pages.iter().find(|p| p.pid == Some(348) && p.address == at && !p.table);
                found.map(|p| p.place.clone())
            };
            if what.has_peb() {
                let place = page(smss.peb.expect("a PEB")).expect("the PEB is away");
                assert_eq!(
                    matches!(place, TruthPlace::PageFile { .. }),
                    what.needs() == Needs::PageFiles && !matches!(what, Behind::StorePageFile | Behind::TablesPageFile),
                    "{build:?} {what:?} {place:?}"
                );
            }
            let _ = Tampered::ALL;
        }
    }
}

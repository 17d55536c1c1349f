//! Hives whose views in the process Registry are lost: what memory has of their files stands for them where they were not written to
//! since, and nothing else does.

use crate::common::forged::Opened;
use crate::forged_pages::{Complaints, read};
use ntmem::Verdict;
use ntmem::checks::Judgement;
use ntmem::registry::Registry;
use ntmem_forge::{Behind, Build, Held, HiveViews, Layout, Paged, PrivateCopy, Scenario, Tampered, Way};

const BUILDS: [Build; 5] = [Build::W10_17134, Build::W10_17763, Build::W10_19045, Build::W11_22000, Build::W11_26100];

fn ways() -> impl Iterator<Item = Behind> {
    Behind::ALL.into_iter().filter(|what| what.of_hive_file())
}

#[test]
fn clean_machines_and_what_is_wrong_there() {
    let mut all = Complaints::default();
    for build in BUILDS {
        for what in ways() {
            let name = format!("{build:?} {what:?}");
            let forged = Scenario::clean(build).behind(what).forge();
            let clean = read(&forged, &[]);
            all.whole(&name, &clean);
            all.honest(&name, &clean);
            all.outcome(&name, &clean, "SMR-10", Judgement::Pass);
            // A process without page tables of this kernel is one for another rule.
            let undecided = what == Behind::HiveFileNoRoot;
            all.verdict(&name, &clean, if undecided { Verdict::Inconclusive } else { Verdict::Clean });
            let told =
                clean.warnings.iter().any(|said| said.contains("none was written to since") && said.contains("SYSTEM"));
            all.says(told, &name, format_args!("not told: {:#?}", clean.warnings));
            for wrong in Tampered::ALL.into_iter().filter(|wrong| wrong.in_hive()) {
                let forged = Scenario::clean(build).tampered(wrong).behind(what).forge();
                let found = read(&forged, &[]);
                all.whole(&format!("{name} {wrong:?}"), &found);
                all.verdict(&format!("{name} {wrong:?}"), &found, Verdict::Violations);
            }
        }
    }
}

/// A hive that says that a page was written to had another page than its file has: the forge puts lies there.
#[test]
fn what_was_written_to_is_not_read_of_the_file() {
    let mut all = Complaints::default();
    for build in BUILDS {
        for views in [HiveViews::Torn, HiveViews::NoRoot, HiveViews::Unmapped] {
            let name = format!("{build:?} {views:?}");
            let mut scenario = Scenario::clean(build).with_paging();
            scenario.pages.hive_views = views;
            for hive in &mut scenario.hives {
                hive.pages = vec![Paged::Copied(PrivateCopy::Present)];
            }
            let forged = scenario.forge();
            let found = read(&forged, &[]);
            all.honest(&name, &found);
            all.outcome(&name, &found, "SMR-10", Judgement::Unknown);
            all.verdict(&name, &found, Verdict::Inconclusive);
            let told = found.away.iter().any(|reason| reason.contains("written to since"));
            all.says(told, &name, format_args!("not told: {:#?}", found.away));
        }
    }
}

/// Where the hive does not say what was written, its file stands in where nothing tells where its own page was, and that is told.
#[test]
fn hives_that_do_not_say_what_was_written() {
    let mut all = Complaints::default();
    for build in BUILDS {
        for views in [HiveViews::NoRoot, HiveViews::Unmapped] {
            let name = format!("{build:?} {views:?}");
            let mut scenario = Scenario::clean(build).with_paging();
            (scenario.pages.hive_views, scenario.pages.hive_bitmaps) = (views, false);
            for hive in &mut scenario.hives {
                hive.pages = vec![Paged::Section(Way::Zero, Held::Valid)];
            }
            let found = read(&scenario.forge(), &[]);
            all.whole(&name, &found);
            all.honest(&name, &found);
            all.outcome(&name, &found, "SMR-10", Judgement::Pass);
            let told = found.warnings.iter().any(|said| said.contains("the hive does not say"));
            all.says(told, &name, format_args!("not told: {:#?}", found.warnings));
        }
        // An entry that leads to another place is no proof that the place is lost: the page may be the process's own.
        let name = format!("{build:?} in a page file");
        let mut scenario = Scenario::clean(build).behind(Behind::PageFile);
        scenario.pages.hive_bitmaps = false;
        let found = read(&scenario.forge(), &[]);
        all.honest(&name, &found);
        all.outcome(&name, &found, "SMR-10", Judgement::Unknown);
    }
}

/// The handles of two hives to their files, exchanged: the files' names and control areas tell.
#[test]
fn a_file_that_is_not_the_hives() {
    for build in [Build::W10_19045, Build::W11_26100] {
        let mut scenario = Scenario::clean(build).behind(Behind::HiveFileNoRoot);
        scenario.pages.hive_bitmaps = true;
        let mut forged = scenario.forge();
        let handles = Layout::of(build).offset("_CMHIVE", "FileHandles");
        let place = |n: usize| {
            let opened = Opened::new(&forged);
            let hive = ntmem::VirtualAddress(forged.truth.hives[n].cmhive + handles);
            opened.kernel().space().translate(hive).unwrap().0 as usize
        };
        let named =
            |name: &str| forged.truth.hives.iter().position(|hive| hive.plan.root_path.ends_with(name)).unwrap();
        let (one, two) = (place(named("SYSTEM")), place(named("SOFTWARE")));
        for n in 0..8 {
            forged.image.swap(one + n, two + n);
        }
        let opened = Opened::new(&forged);
        let kernel = opened.kernel();
        let registry = Registry::open(&kernel);
        let why = registry.key(r"HKLM\SYSTEM\Select").map(|key| key.is_some()).unwrap_err().to_string();
        assert!(why.contains("leads to the control area"), "{why}");
        let found = read(&forged, &[]);
        assert_eq!(found.wrong, Vec::<String>::new());
        assert_eq!(found.outcome("SMR-10"), Judgement::Unknown);
    }
}

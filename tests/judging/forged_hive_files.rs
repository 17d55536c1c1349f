//! Hives whose views in the process Registry are lost: what memory has of their files stands for them where they were not written to
//! since, and nothing else does.

use crate::common::forged::Opened;
use crate::forged_pages::{Complaints, read};
use ntmem::checks::Judgement;
use ntmem::registry::{Hive, Registry};
use ntmem::{PageFile, Verdict};
use ntmem_forge::{
    Behind, Build, Form, Held, HiveDamage, HiveViews, Layout, Paged, PagingFile, PrivateCopy, Scenario, Tampered, Way,
};

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
        for views in [HiveViews::Torn, HiveViews::Zeroed, HiveViews::NoRoot, HiveViews::Unmapped] {
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

/// A hive in no list, whose object left memory with other paged pool: the scan finds it where its pages can be had, and says how many
/// pages it did not see where they cannot.
#[test]
fn a_hive_in_no_list_whose_object_is_paged_out() {
    for (build, state, given) in [
        (Build::W7_7601, Paged::Filed(PagingFile::Page), true),
        (Build::W10_14393, Paged::Stored(Form::Packed), true),
        (Build::W10_19045, Paged::Stored(Form::Packed), true),
        (Build::W11_26100, Paged::Stored(Form::Plain), true),
        (Build::W11_22000, Paged::Filed(PagingFile::Swap), true),
        (Build::W11_22000, Paged::Filed(PagingFile::Page), false),
    ] {
        let mut scenario = Scenario::clean(build).with_paging();
        let hive = scenario.hives.iter_mut().find(|hive| hive.root_path.ends_with("SOFTWARE")).unwrap();
        hive.damage.extend([HiveDamage::Unlinked, HiveDamage::Object(state)]);
        let forged = scenario.forge();
        let truth = forged.truth.hives.iter().find(|hive| hive.plan.root_path.ends_with("SOFTWARE")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = forged.paging_files.iter().filter(|file| given && file.kind != PagingFile::Store).map(|file| {
            let path = folder.path().join(file.kind.name());
            file.write(&path).unwrap();
            PageFile::open(path).unwrap()
        });
        let opened = Opened::new(&forged);
        let kernel = opened.kernel().with_page_files(files.collect());
        let mut registry = Registry::open(&kernel);
        let is_it = |hive: &Hive<'_>| hive.record().cmhive.value().map(|at| at.0) == Some(truth.cmhive);
        assert!(!registry.hives().iter().any(is_it), "{build:?}: it is in the list");
        registry.scan(&|_, _| ());
        let said: Vec<&str> = registry.warnings().iter().map(|warning| warning.message.as_str()).collect();
        let found = registry.hives().iter().find(|hive| is_it(hive));
        let hive = match (found, given) {
            (Some(hive), true) => hive,
            (None, false) => {
                let told = said.iter().any(|said| {
                    said.contains("not seen: 2 in page file 0, which was not given [needs --pagefile FILE")
                });
                assert!(told, "{build:?}: {said:#?}");
                continue;
            }
            _ => panic!("{build:?}: {:?}", found.map(Hive::record)),
        };
        assert_eq!(hive.record().sources, ["scan"], "{build:?}");
        assert!(said.iter().any(|said| said.contains("searched for hives: ")), "{build:?}: {said:#?}");
        let key = hive.root().unwrap();
        let names: Vec<String> = key.subkeys().items.iter().map(|key| key.name().to_owned()).collect();
        let mut written: Vec<String> = truth.plan.root.keys.iter().map(|key| key.name.clone()).collect();
        written.sort_by_key(|name| name.to_uppercase());
        assert_eq!(names, written, "{build:?}");
    }
}

//! Each combination of sources and values, and what explains it.

use super::cross_view;
use crate::picture::{Explanation, Sighting};
use crate::process::ProcessView;
use crate::process::list::ACTIVE_LIST;
use crate::process::views::{CID_TABLE, MM_LIST, POOL_SCAN, THREAD_SCAN, THREADS};
use crate::{ListEnd, Process, ProcessList, Reading, System, Timestamp};

const START: u64 = 133_000_000_000_000_000;
const SECOND: u64 = 10_000_000;
const ALL: [&str; 4] = [ACTIVE_LIST, CID_TABLE, MM_LIST, THREADS];

fn row(pid: u64, seconds: u64, sources: &[&str]) -> Process {
    Process {
        pid: Reading::Value(pid),
        name: Reading::Value("x.exe".into()),
        created: Reading::Value(Timestamp(START + seconds * SECOND)),
        exited: Reading::Nothing,
        threads: Reading::Value(2),
        active_links: Reading::Value("both_ways".into()),
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        ..Process::default()
    }
}

/// Three processes, and the one to be explained.
fn explained(change: impl FnOnce(&mut Process, &mut ProcessList)) -> Sighting {
    let mut list = ProcessList { end: Some(ListEnd::Complete), ..ProcessList::default() };
    list.items = vec![row(4, 1, &ALL), row(8, 2, &ALL), row(12, 3, &ALL)];
    list.views = [CID_TABLE, MM_LIST, THREADS]
        .map(|source| ProcessView {
            source: source.into(),
            end: Reading::Value(ListEnd::Complete),
            ..ProcessView::default()
        })
        .into();
    let mut last = row(16, 4, &ALL);
    change(&mut last, &mut list);
    list.items.push(last);
    let mut system = System { processes: list, ..System::default() };
    system.machine.captured = Reading::Value(Timestamp(START + 5000 * SECOND));
    cross_view(&system).pop().unwrap()
}

#[test]
fn each_combination_has_its_explanation() {
    let without = |process: &mut Process, source: &str| process.sources.retain(|own| own != source);
    let over = |process: &mut Process| {
        process.threads = Reading::Value(0);
        process.exited = Reading::Value(Timestamp(START + 100 * SECOND));
    };
    type Change<'a> = Box<dyn Fn(&mut Process, &mut ProcessList) + 'a>;
    let cases: Vec<(&str, Explanation, Change<'_>)> = vec![
        ("all well", Explanation::Listed, Box::new(|_, _| ())),
        ("no id", Explanation::PartlyListed, Box::new(move |p, _| without(p, CID_TABLE))),
        ("off the list", Explanation::Unlinked, Box::new(move |p, _| without(p, ACTIVE_LIST))),
        ("only a scan has it", Explanation::Unlinked, Box::new(|p, _| p.sources = vec![POOL_SCAN.into()])),
        (
            "the list is torn",
            Explanation::Torn,
            Box::new(move |p, list| {
                without(p, ACTIVE_LIST);
                p.active_links = Reading::Value("stray".into());
                list.end = Some(ListEnd::Broken);
            }),
        ),
        (
            "the list is torn elsewhere",
            Explanation::Unlinked,
            Box::new(move |p, list| {
                without(p, ACTIVE_LIST);
                p.active_links = Reading::Value("bypassed".into());
                list.end = Some(ListEnd::Broken);
            }),
        ),
        (
            "one way only",
            Explanation::HalfLinked,
            Box::new(|p, _| p.active_links = Reading::Value("backward_only".into())),
        ),
        (
            "one way only, and the youngest by far of a slow copy",
            Explanation::BeingCreated,
            Box::new(|p, _| {
                p.created = Reading::Value(Timestamp(START + 4500 * SECOND));
                p.active_links = Reading::Value("backward_only".into());
            }),
        ),
        (
            "off the list, and made long after the image",
            Explanation::Unlinked,
            Box::new(move |p, _| {
                p.created = Reading::Value(Timestamp(START + 500_000 * SECOND));
                without(p, ACTIVE_LIST);
            }),
        ),
        (
            "minimal, without threads",
            Explanation::Listed,
            Box::new(move |p, _| {
                (p.minimal, p.threads) = (Reading::Value(true), Reading::Value(0));
                without(p, THREADS);
                without(p, MM_LIST);
            }),
        ),
        (
            "one way only, as the other is torn",
            Explanation::Listed,
            Box::new(|p, list| {
                p.active_links = Reading::Value("backward_only".into());
                list.end = Some(ListEnd::Broken);
            }),
        ),
        (
            "no thread yet",
            Explanation::BeingCreated,
            Box::new(move |p, _| {
                p.created = Reading::Value(Timestamp(START + 4990 * SECOND));
                p.threads = Reading::Value(0);
                without(p, ACTIVE_LIST);
            }),
        ),
        (
            "over",
            Explanation::ExitedReferenced,
            Box::new(move |p, _| {
                over(p);
                without(p, THREADS);
            }),
        ),
        (
            "over and off the list",
            Explanation::Exited,
            Box::new(move |p, _| {
                over(p);
                p.sources = vec![POOL_SCAN.into()];
            }),
        ),
        (
            "says that it is over, and has threads",
            Explanation::Unlinked,
            Box::new(move |p, _| {
                over(p);
                without(p, ACTIVE_LIST);
            }),
        ),
        (
            "given back",
            Explanation::Freed,
            Box::new(|p, _| {
                p.sources = vec![POOL_SCAN.into()];
                p.freed = Reading::Value(true);
            }),
        ),
        (
            "given back, of an earlier boot and over, and has threads",
            Explanation::Unlinked,
            Box::new(move |p, _| {
                over(p);
                p.created = Reading::Value(Timestamp(START - 1000 * SECOND));
                p.sources = vec![POOL_SCAN.into(), THREAD_SCAN.into()];
                p.freed = Reading::Value(true);
            }),
        ),
        (
            "said to be given back, and has an id",
            Explanation::Unlinked,
            Box::new(|p, _| {
                p.sources = vec![POOL_SCAN.into(), CID_TABLE.into()];
                p.freed = Reading::Value(true);
            }),
        ),
        (
            "of an earlier boot",
            Explanation::Leftover,
            Box::new(|p, _| {
                p.sources = vec![POOL_SCAN.into()];
                p.created = Reading::Value(Timestamp(START - 1000 * SECOND));
            }),
        ),
        (
            "nothing tells",
            Explanation::Undetermined,
            Box::new(|p, _| {
                p.sources = vec![POOL_SCAN.into()];
                p.exited = Reading::default();
                p.threads = Reading::default();
            }),
        ),
    ];
    for (name, expected, change) in cases {
        let seen = explained(change);
        assert_eq!(seen.explanation, expected, "{name}: {}", seen.why);
        assert_eq!(seen.hidden, matches!(expected, Explanation::Unlinked | Explanation::HalfLinked), "{name}");
    }
}

#[test]
fn a_source_that_was_not_understood_accuses_nobody() {
    let seen = explained(|p, list| {
        list.items.iter_mut().skip(1).for_each(|process| process.sources.retain(|own| own != MM_LIST));
        p.sources.retain(|own| own != MM_LIST);
    });
    assert_eq!((seen.explanation, seen.missing.len()), (Explanation::Listed, 0));
    let seen = explained(|p, list| {
        p.sources.retain(|own| own != MM_LIST);
        list.views.iter_mut().for_each(|view| view.end = Reading::Value(ListEnd::Broken));
    });
    assert_eq!((seen.explanation, seen.missing.len()), (Explanation::Listed, 0));
}

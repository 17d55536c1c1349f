//! Each combination of sources and values, and what explains it.

use super::{Explanation, Picture, Sighting};
use crate::process::{ProcessView, Source};
use crate::{ListEnd, Process, ProcessList, Reading, System, Timestamp};

const START: u64 = 133_000_000_000_000_000;
const SECOND: u64 = 10_000_000;
const ALL: [Source; 4] = [Source::ActiveList, Source::CidTable, Source::MmList, Source::Threads];

fn row(pid: u64, seconds: u64, sources: &[Source]) -> Process {
    Process {
        pid: Reading::Value(pid),
        name: Reading::Value("x.exe".into()),
        created: Reading::Value(Timestamp(START + seconds * SECOND)),
        exited: Reading::Nothing,
        threads: Reading::Value(2),
        active_links: Reading::Value("both_ways".into()),
        sources: sources.to_vec(),
        ..Process::default()
    }
}

/// Three processes, and the one to be explained.
fn explained(change: impl FnOnce(&mut Process, &mut ProcessList)) -> Sighting {
    let mut list = ProcessList { end: Some(ListEnd::Complete), ..ProcessList::default() };
    list.items = vec![row(4, 1, &ALL), row(8, 2, &ALL), row(12, 3, &ALL)];
    list.views = [Source::CidTable, Source::MmList, Source::Threads]
        .map(|source| ProcessView { source, end: Reading::Value(ListEnd::Complete), ..ProcessView::default() })
        .into();
    let mut last = row(16, 4, &ALL);
    change(&mut last, &mut list);
    list.items.push(last);
    let mut system = System { processes: list, ..System::default() };
    system.machine.captured = Reading::Value(Timestamp(START + 5000 * SECOND));
    Picture::new(&system).cross_view().last().unwrap().clone()
}

#[test]
fn each_combination_has_its_explanation() {
    let without = |process: &mut Process, source: Source| process.sources.retain(|own| *own != source);
    let over = |process: &mut Process| {
        process.threads = Reading::Value(0);
        process.exited = Reading::Value(Timestamp(START + 100 * SECOND));
    };
    type Change<'a> = Box<dyn Fn(&mut Process, &mut ProcessList) + 'a>;
    let cases: Vec<(&str, Explanation, Change<'_>)> = vec![
        ("all well", Explanation::Listed, Box::new(|_, _| ())),
        ("no id", Explanation::PartlyListed, Box::new(move |p, _| without(p, Source::CidTable))),
        ("off the list", Explanation::Unlinked, Box::new(move |p, _| without(p, Source::ActiveList))),
        ("only a scan has it", Explanation::Unlinked, Box::new(|p, _| p.sources = vec![Source::PoolScan])),
        (
            "the list is torn",
            Explanation::Torn,
            Box::new(move |p, list| {
                without(p, Source::ActiveList);
                p.active_links = Reading::Value("stray".into());
                list.end = Some(ListEnd::Broken);
            }),
        ),
        (
            "the list is torn elsewhere",
            Explanation::Unlinked,
            Box::new(move |p, list| {
                without(p, Source::ActiveList);
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
                without(p, Source::ActiveList);
            }),
        ),
        (
            "minimal, without threads",
            Explanation::Listed,
            Box::new(move |p, _| {
                (p.minimal, p.threads) = (Reading::Value(true), Reading::Value(0));
                without(p, Source::Threads);
                without(p, Source::MmList);
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
                without(p, Source::ActiveList);
            }),
        ),
        (
            "over",
            Explanation::ExitedReferenced,
            Box::new(move |p, _| {
                over(p);
                without(p, Source::Threads);
            }),
        ),
        (
            "over and off the list",
            Explanation::Exited,
            Box::new(move |p, _| {
                over(p);
                p.sources = vec![Source::PoolScan];
            }),
        ),
        (
            "says that it is over, and has threads",
            Explanation::Unlinked,
            Box::new(move |p, _| {
                over(p);
                without(p, Source::ActiveList);
            }),
        ),
        (
            "given back",
            Explanation::Freed,
            Box::new(|p, _| {
                p.sources = vec![Source::PoolScan];
                p.freed = Reading::Value(true);
            }),
        ),
        (
            "given back, of an earlier boot and over, and has threads",
            Explanation::Unlinked,
            Box::new(move |p, _| {
                over(p);
                p.created = Reading::Value(Timestamp(START - 1000 * SECOND));
                p.sources = vec![Source::PoolScan, Source::ThreadScan];
                p.freed = Reading::Value(true);
            }),
        ),
        (
            "said to be given back, and has an id",
            Explanation::Unlinked,
            Box::new(|p, _| {
                p.sources = vec![Source::PoolScan, Source::CidTable];
                p.freed = Reading::Value(true);
            }),
        ),
        (
            "of an earlier boot",
            Explanation::Leftover,
            Box::new(|p, _| {
                p.sources = vec![Source::PoolScan];
                p.created = Reading::Value(Timestamp(START - 1000 * SECOND));
            }),
        ),
        (
            "nothing tells",
            Explanation::Undetermined,
            Box::new(|p, _| {
                p.sources = vec![Source::PoolScan];
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
        list.items.iter_mut().skip(1).for_each(|process| process.sources.retain(|own| *own != Source::MmList));
        p.sources.retain(|own| *own != Source::MmList);
    });
    assert_eq!((seen.explanation, seen.missing.len()), (Explanation::Listed, 0));
    let seen = explained(|p, list| {
        p.sources.retain(|own| *own != Source::MmList);
        list.views.iter_mut().for_each(|view| view.end = Reading::Value(ListEnd::Broken));
    });
    assert_eq!((seen.explanation, seen.missing.len()), (Explanation::Listed, 0));
}

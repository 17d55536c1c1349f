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
    let just_over = |process: &mut Process| {
        process.threads = Reading::Value(0);
        process.exited = Reading::Value(Timestamp(START + 4400 * SECOND));
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
            "ended ten minutes before the image, its ids are gone, and one thread of it was copied before",
            Explanation::InMotion,
            Box::new(move |p, _| {
                just_over(p);
                p.sources = vec![Source::PoolScan, Source::ThreadScan];
            }),
        ),
        (
            "the same, and an id leads to it",
            Explanation::Unlinked,
            Box::new(move |p, _| {
                just_over(p);
                p.sources = vec![Source::PoolScan, Source::ThreadScan, Source::CidTable];
            }),
        ),
        (
            "the same of a process that does not come and go",
            Explanation::Unlinked,
            Box::new(move |p, _| {
                just_over(p);
                p.name = Reading::Value("smss.exe".into());
                p.sources = vec![Source::PoolScan, Source::ThreadScan];
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

/// What others show of the image being taken over some time is no excuse that a process has of itself, nor one for the processes that do
/// not come and go.
#[test]
fn motion_is_shown_by_others() {
    let off = |process: &mut Process| {
        process.sources.retain(|own| *own != Source::ActiveList);
        process.active_links = Reading::Value("bypassed".into());
        process.eprocess = Reading::Value(crate::VirtualAddress(0xffff_8000_0000_1000));
    };
    // The image says of itself that it was taken 5000 s after the start.
    let later = |process: &mut Process| process.exited = Reading::Value(Timestamp(START + 5030 * SECOND));
    let alone = explained(|process, _| off(process));
    assert_eq!(alone.explanation, Explanation::Unlinked);
    let by_itself = explained(|process, _| {
        off(process);
        let thread = crate::kernel::Thread {
            created: Reading::Value(Timestamp(START + 5030 * SECOND)),
            ..crate::kernel::Thread::default()
        };
        let threads = Reading::Value(vec![thread]);
        process.inside = Reading::Value(crate::process::Inside { threads, ..crate::process::Inside::default() });
    });
    assert_eq!(by_itself.explanation, Explanation::Unlinked, "its own threads");
    let by_another = explained(|process, list| {
        off(process);
        later(&mut list.items[2]);
    });
    assert_eq!(by_another.explanation, Explanation::InMotion, "{}", by_another.why);
    assert!(by_another.why.contains("taken from"), "{}", by_another.why);
    let core = explained(|process, list| {
        off(process);
        process.name = Reading::Value("csrss.exe".into());
        later(&mut list.items[2]);
    });
    assert_eq!(core.explanation, Explanation::Unlinked, "{}", core.why);
    assert!(core.why.contains("taken from"), "{}", core.why);
    // Windows does not leave a process so that it takes off its list.
    let by_hand = explained(|process, list| {
        off(process);
        process.active_links = Reading::Value("alone".into());
        later(&mut list.items[2]);
    });
    assert_eq!(by_hand.explanation, Explanation::Unlinked);
}

/// One process whose threads are counted otherwise than they are may just be ending one; two show that time went by.
#[test]
fn thread_counts_take_two() {
    let differs = |number: usize| {
        explained(|process, list| {
            process.sources.retain(|own| *own != Source::ActiveList);
            process.active_links = Reading::Value("bypassed".into());
            for other in list.items.iter_mut().take(number) {
                other.numbered_threads = Reading::Value(1);
            }
        })
        .explanation
    };
    assert_eq!(
        [differs(0), differs(1), differs(2)],
        [Explanation::Unlinked, Explanation::Unlinked, Explanation::InMotion]
    );
}

/// Of an object alone, or of an id alone, nobody can tell that it runs: without a thread anywhere it may have ended. Who hides a process
/// leaves it its threads.
#[test]
fn who_has_no_thread_may_have_ended() {
    let view = |source| ProcessView { source, end: Reading::Value(ListEnd::Complete), ..ProcessView::default() };
    let held = |name: &str, sources: &[Source], by_scan: bool| {
        explained(|process, list| {
            process.name = Reading::Value(name.into());
            process.sources = sources.to_vec();
            process.active_links = Reading::Value("bypassed".into());
            if by_scan {
                list.views.extend([Source::PoolScan, Source::ThreadScan].map(view));
            }
        })
        .explanation
    };
    let scanned = [Source::PoolScan];
    assert_eq!(held("x.exe", &scanned, true), Explanation::InMotion);
    assert_eq!(held("x.exe", &scanned, false), Explanation::Unlinked, "nobody searched for threads");
    assert_eq!(held("csrss.exe", &scanned, true), Explanation::Unlinked);
    assert_eq!(held("x.exe", &[Source::PoolScan, Source::ThreadScan], true), Explanation::Unlinked);
    assert_eq!(held("x.exe", &[Source::CidTable], false), Explanation::InMotion);
    assert_eq!(held("x.exe", &[Source::CidTable, Source::Threads], false), Explanation::Unlinked);
    let one_way = |sources: &[Source]| {
        explained(|process, _| {
            process.active_links = Reading::Value("backward_only".into());
            process.sources = sources.to_vec();
        })
        .explanation
    };
    assert_eq!(one_way(&ALL), Explanation::HalfLinked);
    assert_eq!(one_way(&[Source::ActiveList, Source::MmList, Source::Threads]), Explanation::InMotion, "no id");
}

/// Two that are hidden alike are no sign of motion for each other; what nobody does who hides a process is.
#[test]
fn the_hidden_do_not_excuse_each_other() {
    let hide = |process: &mut Process, number: u64| {
        process.sources.retain(|own| *own != Source::ActiveList);
        process.active_links = Reading::Value("bypassed".into());
        process.eprocess = Reading::Value(crate::VirtualAddress(0xffff_8000_0000_0000 + 0x1000 * number));
    };
    let beside = |change: &dyn Fn(&mut Process)| {
        explained(|process, list| {
            hide(process, 1);
            for number in 2..4 {
                let mut other = row(16 + 4 * number, 4, &ALL);
                hide(&mut other, number);
                change(&mut other);
                list.items.push(other);
            }
        })
        .explanation
    };
    assert_eq!(beside(&|_| ()), Explanation::Unlinked);
    assert_eq!(beside(&|other| other.sources = vec![Source::CidTable]), Explanation::InMotion, "two without threads");
    assert_eq!(
        beside(&|other| other.numbered_threads = Reading::Value(1)),
        Explanation::InMotion,
        "two threads are gone"
    );
}

/// The youngest of all belongs at the end of the list, which may have been copied before it was made; not so one that is older than others
/// that are listed, or than copying takes.
#[test]
fn the_youngest_may_have_been_made_meanwhile() {
    let made = |seconds: u64, other: u64| {
        explained(|process, list| {
            process.sources.retain(|own| *own != Source::ActiveList);
            process.active_links = Reading::Value("bypassed".into());
            process.created = Reading::Value(Timestamp(START + seconds * SECOND));
            list.items[2].created = Reading::Value(Timestamp(START + other * SECOND));
        })
        .explanation
    };
    assert_eq!(made(4800, 3), Explanation::InMotion);
    assert_eq!(made(4800, 4900), Explanation::Unlinked, "a younger one is listed");
    assert_eq!(made(1000, 3), Explanation::Unlinked, "longer ago than copying takes");
}

//! Two clocks that stamp each process when it is made: the wall clock, which people and programs set, and interrupt time, which runs
//! on from the start of the system.

use super::tree::is_linked;
use crate::{Process, System, Ticks, Timestamp};

/// How far both may be from their neighbours' on a machine where nobody set the clock: time servers correct it by less at a time.
const EVEN: Ticks = Ticks::seconds(2);
/// What is called a disagreement.
const APART: Ticks = Ticks::seconds(5);

/// A process whose two stamps disagree, though those of the processes made just before and just after it agree with one another.
#[derive(Clone, Debug)]
pub(crate) struct Discord {
    /// Its position in the list.
    pub at: usize,
    /// By how much `CreateTime` is too late; negative: too early.
    pub by: Ticks,
}

/// When the system started, by the stamps of one process.
fn start(process: &Process) -> Option<(u64, Ticks)> {
    let since = *process.created_interrupt.value()?;
    Some((since, process.started()?.since(Timestamp(since))))
}

/// The processes whose two stamps disagree, and whose neighbours' do not. A clock that was set parts all that came before from all
/// that came after, and is no such disagreement; the first process has no neighbour before it.
pub(crate) fn discords(system: &System) -> Vec<Discord> {
    let linked =
        system.processes.items.iter().enumerate().filter(|(_, process)| is_linked(process) && !process.is_garbage());
    let mut starts: Vec<(u64, Option<usize>, Ticks)> =
        linked.filter_map(|(at, process)| start(process).map(|(since, start)| (since, Some(at), start))).collect();
    // The moment when the image was taken is behind them all.
    let machine = &system.machine;
    if let (Some(captured), Some(boot)) = (machine.captured.value(), machine.boot.value()) {
        let up = captured.0.saturating_sub(boot.0);
        starts.push((up, None, captured.since(Timestamp(up))));
    }
    starts.sort_by_key(|(since, at, _)| (*since, at.is_none(), *at));
    let odd = starts.windows(3).filter_map(|three| {
        let [(_, _, before), (_, Some(at), own), (_, _, after)] = three else { return None };
        let apart = |one: Ticks, other: Ticks| Ticks(one.0.saturating_sub(other.0));
        let by = apart(*own, *before);
        let alone = apart(*before, *after).abs() <= EVEN && by.abs() > APART && apart(*own, *after).abs() > APART;
        alone.then_some(Discord { at: *at, by })
    });
    odd.collect()
}

/// Time from one process's creation to another's by interrupt time. `None`: one of them has none.
pub(crate) fn between(earlier: &Process, later: &Process) -> Option<Ticks> {
    let (one, other) = (earlier.created_interrupt.value()?, later.created_interrupt.value()?);
    Some(Timestamp(*other).since(Timestamp(*one)))
}

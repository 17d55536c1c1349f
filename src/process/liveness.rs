//! Whether a process runs, is over, or cannot be told; and whether its row is one at all.

use super::Source;
use crate::kernel::Thread;
use crate::{Process, Reading, Ticks, Timestamp};

/// What a row says about being alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Liveness {
    /// It has threads, or its exit time was read and is zero.
    Live,
    /// It has an exit time, or no thread is left, or nothing but a search of memory knows it and its memory was given back. Its
    /// `_EPROCESS` may stay linked for days.
    Exited,
    /// The row does not tell, or contradicts itself; the reason.
    Unknown(&'static str),
}

/// 1990-01-01T00:00:00Z: no stamp that Windows wrote is older.
const FIRST_STAMP: Timestamp = Timestamp(122_756_256_000_000_000);
/// The clock is set by less than this again and again.
const SMALL_STEP: Ticks = Ticks::seconds(60);
/// Process ids come from a handle table: at most 2^24 entries, and ids step by 4.
pub(crate) const PID_END: u64 = 1 << 26;
/// More threads than any one process was ever seen with; garbage rows print hundreds of thousands.
const MOST_THREADS: u32 = 100_000;

impl Process {
    /// Whether the process runs, by `EPROCESS.ExitTime`, `EPROCESS.ActiveThreads`, its handle table, and where it was looked into its
    /// threads.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        // Both fields can be written over; threads that wait or run are there nonetheless, and so is the handle table.
        let runs = self.has_running_threads();
        if self.is_given_back() {
            return Liveness::Exited;
        }
        match (&self.exited, self.threads.value()) {
            (Reading::Value(_), _) if runs => Liveness::Unknown("it has an exit time and threads that have not ended"),
            (Reading::Nothing, Some(0)) if runs => Liveness::Live,
            // Secure System has no threads of its own: it runs beside this kernel.
            (Reading::Nothing, Some(0)) if self.minimal.value() == Some(&true) => Liveness::Live,
            (Reading::Value(_), Some(1..)) => Liveness::Unknown("it has an exit time and active threads"),
            (Reading::Value(_), _) if self.holds_handles() => {
                Liveness::Unknown("it has an exit time and a table of open handles, which goes first")
            }
            (Reading::Value(_), _) | (Reading::Nothing, Some(0)) => Liveness::Exited,
            (Reading::Nothing, _) | (Reading::Absent(_), Some(1..)) => Liveness::Live,
            (Reading::Absent(_), Some(0)) => Liveness::Unknown("it has no threads, and its exit time is not known"),
            (Reading::Absent(_), None) => Liveness::Unknown("neither its exit time nor its thread count is known"),
        }
    }

    /// The threads in its list that are its own: they name it by its id or by its address.
    pub(crate) fn own_threads(&self) -> impl Iterator<Item = &Thread> {
        let threads = self.inside.value().and_then(|inside| inside.threads.value());
        threads.into_iter().flatten().filter(|thread| {
            let by_id = self.pid.value().is_some() && thread.pid.value() == self.pid.value();
            by_id || self.eprocess.value().is_some() && thread.owner.value() == self.eprocess.value()
        })
    }

    /// True where it was looked into its threads, and one has not ended.
    pub(crate) fn has_running_threads(&self) -> bool {
        self.own_threads().any(|thread| thread.has_ended() == Some(false))
    }

    /// When the oldest of its threads that are there was made. A process gets its first thread when it is made, and no thread before.
    pub(crate) fn oldest_thread(&self) -> Option<Timestamp> {
        self.own_threads().filter_map(|thread| thread.created.value().copied()).filter(|at| *at >= FIRST_STAMP).min()
    }

    /// When the first thread in its list was made. The kernel appends to the list: where the first one of all has not ended, it is that,
    /// whatever the clock did since.
    pub(crate) fn first_thread(&self) -> Option<Timestamp> {
        self.own_threads().find_map(|thread| thread.created.value().copied()).filter(|at| *at >= FIRST_STAMP)
    }

    /// By how much its first thread is older than it says that it is itself, where that is more than a clock that is set by a little
    /// explains.
    #[must_use]
    pub fn thread_before_it(&self) -> Option<Ticks> {
        let distance = self.started()?.since(self.first_thread()?);
        (distance > SMALL_STEP).then_some(distance)
    }

    /// True where a thread is flagged as ended and still waits or runs. While a thread is made to end it is so for a moment; where it
    /// is said that no thread is left, one of the two is a lie.
    pub(crate) fn has_contradictory_threads(&self) -> bool {
        self.own_threads().any(|thread| {
            thread.terminated.value() == Some(&true)
                && thread.state.value().is_some()
                && thread.has_ended() == Some(false)
        })
    }

    /// True where handles are open in its table. The end of a process takes the table away when it sets the exit time.
    pub(crate) fn holds_handles(&self) -> bool {
        self.handles.value().is_some_and(|handles| *handles > 0)
    }

    /// True where an earlier boot left it in memory: it is older than this one, by more than a clock that is set by a little explains,
    /// nothing but a search knows it, and it has no threads that wait.
    pub(crate) fn is_left_before(&self, boot: Timestamp) -> bool {
        !self.sources.is_empty()
            && self.is_known_by_object_alone()
            && self.started().is_some_and(|started| boot.since(started) > SMALL_STEP)
            && !self.has_running_threads()
    }

    /// True where nothing but its object in memory, met by a search, says that there is or was such a process.
    #[must_use]
    pub(crate) fn is_known_by_object_alone(&self) -> bool {
        self.sources.iter().all(|source| matches!(source, Source::PoolScan | Source::Carved))
    }

    /// True where nothing but its own values says that it is a process of this machine.
    #[must_use]
    pub fn is_carved(&self) -> bool {
        !self.sources.is_empty() && self.sources.iter().all(|source| *source == Source::Carved)
    }

    /// True where the memory of the object was given back, and nothing else than the search of memory knows it. What it leads to is
    /// another's by now, and so is what an object of another kernel leads to.
    #[must_use]
    pub(crate) fn is_given_back(&self) -> bool {
        // The threads of a process are gone before it is, and the header in front of it can be written over.
        self.freed.value() == Some(&true) && self.is_known_by_object_alone() && !self.has_running_threads()
    }

    /// True where threads that have not ended lead to it.
    fn has_threads_elsewhere(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Threads | Source::ThreadScan))
    }

    /// True where the process certainly runs.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.liveness() == Liveness::Live
    }

    /// True where the process is certainly over.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        self.liveness() == Liveness::Exited
    }

    /// The creation time, if it is known and a date that Windows can have written.
    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        self.created.value().copied().filter(|at| *at >= FIRST_STAMP)
    }

    /// True where the row is no process: what a list walk makes of memory that was overwritten while it was copied.
    ///
    /// It takes two impossible values, so that nobody hides a process by spoiling one field of it. An impossible pid is enough
    /// where nothing else makes sense either. A row that calls itself smss.exe, or that threads lead to, is never put aside: the
    /// kernel runs it whatever stands there.
    #[must_use]
    pub fn is_garbage(&self) -> bool {
        let impossible_id = |id: &Reading<u64>| id.value().is_some_and(|id| *id >= PID_END);
        if self.is_called("smss.exe") || self.has_threads_elsewhere() {
            return false;
        }
        if impossible_id(&self.pid) && !self.holds_together() {
            return true;
        }
        let odd = [
            impossible_id(&self.pid),
            impossible_id(&self.ppid),
            self.pid.value().is_some_and(|pid| pid % 4 != 0),
            self.created.value().is_some() && self.started().is_none(),
            self.threads.value().is_some_and(|threads| *threads > MOST_THREADS),
            self.name.value().is_some_and(|name| name.chars().any(|c| c.is_control() || c == '\u{fffd}')),
        ];
        odd.into_iter().filter(|odd| *odd).count() >= 2
    }

    /// True where a row has what a process has, whatever its ids are: threads, a date, and a path.
    fn holds_together(&self) -> bool {
        self.started().is_some()
            && self.threads.value().is_some_and(|threads| (1..=MOST_THREADS).contains(threads))
            && self.path.value().is_some_and(|path| path.starts_with('\\') && !path.contains('\u{fffd}'))
    }

    /// True where `EPROCESS.ImageFileName` is `name`, as Windows compares names; `name` in ASCII.
    ///
    /// The field holds 14 characters, so that longer names are compared by those.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        let short = name.get(..14).unwrap_or(name);
        self.name.value().is_some_and(|own| own.eq_ignore_ascii_case(short) || own.eq_ignore_ascii_case(name))
    }

    /// True where a process goes by this name, in ASCII, by any of the names that it has: `EPROCESS.ImageFileName`, the kernel's path
    /// of its image, the PEB's, the first module of the loader, the file of its image section. Whoever changes one of them leaves
    /// the others, and every rule goes by this.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let paths = [
            self.path.value(),
            self.peb_path.value(),
            self.modules.value().and_then(|modules| modules.first()),
            self.section_file.value().map(|file| &file.name),
        ];
        let last = |path: &String| path.rsplit('\\').next().is_some_and(|last| last.eq_ignore_ascii_case(name));
        self.is_named(name) || paths.into_iter().flatten().any(last)
    }

    /// True where it bears this name, or bears none that can be read and is called so by its paths: fifteen bytes that were lost make
    /// nobody vanish.
    #[must_use]
    pub fn goes_by(&self, name: &str) -> bool {
        // What is no printable ASCII is escaped.
        let readable = self.name.value().is_some_and(|own| !own.contains("\\x"));
        if readable { self.is_named(name) } else { self.is_called(name) }
    }

    /// True where more than a search of memory leads to its object.
    pub(super) fn is_led_to(&self) -> bool {
        !self.sources.is_empty() && !self.is_known_by_object_alone()
    }

    /// True where two rows are of one process: equal in pid, ppid, name and creation time; but not two objects that more than a
    /// search of memory leads to, whatever somebody wrote over these.
    #[must_use]
    pub fn is_same_process(&self, other: &Self) -> bool {
        let two = match (self.eprocess.value(), other.eprocess.value()) {
            (Some(own), Some(theirs)) => own != theirs && self.is_led_to() && other.is_led_to(),
            _ => false,
        };
        !two && self.pid.value().is_some()
            && self.pid.value() == other.pid.value()
            && self.ppid.value() == other.ppid.value()
            && self.name.value() == other.name.value()
            && self.created.value() == other.created.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(exited: Reading<Timestamp>, threads: Reading<u32>) -> Process {
        Process { exited, threads, ..Process::default() }
    }

    #[test]
    fn exit_time_and_threads_together() {
        let at = Reading::Value(Timestamp(133_000_000_000_000_000));
        let unknown = || Reading::<Timestamp>::default();
        assert_eq!(row(Reading::Nothing, Reading::Value(2)).liveness(), Liveness::Live);
        assert_eq!(row(Reading::Nothing, Reading::Value(0)).liveness(), Liveness::Exited);
        assert_eq!(row(at.clone(), Reading::Value(0)).liveness(), Liveness::Exited);
        assert!(matches!(row(at, Reading::Value(3)).liveness(), Liveness::Unknown(_)));
        assert!(matches!(row(unknown(), Reading::Value(0)).liveness(), Liveness::Unknown(_)));
        assert!(matches!(row(unknown(), Reading::default()).liveness(), Liveness::Unknown(_)));
        assert_eq!(row(unknown(), Reading::Value(2)).liveness(), Liveness::Live);
    }

    #[test]
    fn memory_that_was_given_back() {
        let freed = |source| Process {
            freed: Reading::Value(true),
            sources: vec![source],
            ..row(Reading::Nothing, Reading::Value(2))
        };
        assert_eq!(freed(Source::PoolScan).liveness(), Liveness::Exited);
        assert_eq!(freed(Source::ThreadScan).liveness(), Liveness::Live, "its header lies");
    }

    #[test]
    fn threads_that_are_there_contradict_the_fields() {
        use crate::process::Inside;
        let inside = |terminated| {
            let thread =
                Thread { pid: Reading::Value(3260), terminated: Reading::Value(terminated), ..Thread::default() };
            Reading::Value(Inside { threads: Reading::Value(vec![thread]), ..Inside::default() })
        };
        let process = |exited, terminated| Process {
            pid: Reading::Value(3260),
            inside: inside(terminated),
            ..row(exited, Reading::Value(0))
        };
        let at = || Reading::Value(Timestamp(133_000_000_000_000_000));
        assert_eq!(process(Reading::Nothing, false).liveness(), Liveness::Live);
        assert!(matches!(process(at(), false).liveness(), Liveness::Unknown(_)));
        assert_eq!(process(at(), true).liveness(), Liveness::Exited);
    }

    #[test]
    fn who_has_ended_has_no_handles_and_no_flag_ends_a_thread_that_waits() {
        use crate::kernel::ThreadState;
        use crate::process::Inside;
        let at = || Reading::Value(Timestamp(133_000_000_000_000_000));
        let mut process = row(at(), Reading::Value(0));
        process.handles = Reading::Nothing;
        assert_eq!(process.liveness(), Liveness::Exited);
        process.handles = Reading::Value(0);
        assert_eq!(process.liveness(), Liveness::Exited, "as other tools print it");
        process.handles = Reading::Value(12);
        assert!(matches!(process.liveness(), Liveness::Unknown(_)));
        process.handles = Reading::Nothing;
        process.pid = Reading::Value(3260);
        let thread = |state, terminated| Thread {
            pid: Reading::Value(3260),
            state: Reading::Value(state),
            terminated: Reading::Value(terminated),
            ..Thread::default()
        };
        let mut with = |thread| {
            process.inside = Reading::Value(Inside { threads: Reading::Value(vec![thread]), ..Inside::default() });
            process.liveness()
        };
        assert!(matches!(with(thread(ThreadState::Waiting, true)), Liveness::Unknown(_)));
        assert_eq!(with(thread(ThreadState::Terminated, true)), Liveness::Exited);
        assert_eq!(with(thread(ThreadState::Terminated, false)), Liveness::Exited);
    }

    #[test]
    fn garbage_takes_two_spoilt_fields_or_an_impossible_pid() {
        // The row of listing W11-22000.
        let mut garbage = Process { pid: Reading::Value(128_017_663_995_251), ..Process::default() };
        assert!(garbage.is_garbage());
        garbage.pid = Reading::Value(3260);
        garbage.created = Reading::Value(Timestamp(950_000_000));
        assert!(!garbage.is_garbage());
        garbage.threads = Reading::Value(762_839_137);
        assert!(garbage.is_garbage());
        garbage.name = Reading::Value("SMSS.exe".into());
        garbage.pid = Reading::Value(1 << 40);
        assert!(!garbage.is_garbage(), "not by spoiling fields");
        let mut hidden = Process { pid: Reading::Value(1 << 30), threads: Reading::Value(3), ..Process::default() };
        hidden.created = Reading::Value(Timestamp(133_000_000_000_000_000));
        assert!(hidden.is_garbage());
        hidden.path = Reading::Value("\\Device\\HarddiskVolume3\\Temp\\x.exe".into());
        assert!(!hidden.is_garbage(), "a process whose pid was written over");
        hidden.ppid = Reading::Value(1 << 30);
        assert!(hidden.is_garbage(), "two impossible values");
    }

    #[test]
    fn long_names_are_cut_to_what_the_field_holds() {
        let process = Process { name: Reading::Value("omnissa-ic-nga".into()), ..Process::default() };
        assert!(process.is_named("omnissa-ic-nga.exe"));
        assert!(!process.is_named("omnissa-ic.exe"));
    }
}

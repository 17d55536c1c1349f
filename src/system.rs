//! Everything that was read from one machine, owned: what the checks judge and what documents hold.

use crate::drivers::DriverList;
use crate::kernel::{KUSER_SHARED_DATA, Kernel};
use crate::process::{InsideOf, ProcessView, Sighting, cross_view};
use crate::reading::record;
use crate::registry::{Registry, SessionManagerKeys};
use crate::sweep::sweep;
use crate::{Absent, Error, Mode, PhysicalAddress, Process, Reading, Session, Timestamp, VirtualAddress, Warning};
use serde::{Deserialize, Deserializer, Serialize};

/// One machine, as its memory image, or somebody's list of its processes, shows it.
///
/// In a document it is the middle of [`Report`](crate::Report). Any member may be missing or null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct System {
    /// The image file. `None`: the records come from elsewhere.
    pub image: Option<ImageInfo>,
    /// The kernel found in the image.
    pub kernel: Option<KernelInfo>,
    /// Facts about the machine as a whole.
    #[serde(rename = "system", deserialize_with = "null_is_default")]
    pub machine: Machine,
    /// The processes.
    #[serde(deserialize_with = "null_is_default")]
    pub processes: ProcessList,
    /// The sessions, rebuilt from the processes.
    #[serde(deserialize_with = "null_is_default")]
    pub sessions: Vec<Session>,
    /// Which sources hold each process, and what explains it: concluded from the processes.
    #[serde(deserialize_with = "null_is_default")]
    pub cross_view: Vec<Sighting>,
    /// The kernel's modules.
    #[serde(deserialize_with = "null_is_default")]
    pub drivers: DriverList,
    /// The keys that smss.exe reads when the system starts, as they are in memory.
    #[serde(deserialize_with = "null_is_default")]
    pub session_manager: SessionManagerKeys,
    /// What could not be read, or was odd.
    #[serde(skip)]
    pub warnings: Vec<Warning>,
}

/// Reads `null` as the default, so that any object of a document may be null.
pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// Reads a list, itself perhaps null, without those of its members that are.
fn without_nulls<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Option::<Vec<Option<T>>>::deserialize(from).map(|items| items.into_iter().flatten().flatten().collect())
}

/// The image file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageInfo {
    /// `raw`, `crash_dump_full`, `crash_dump_bitmap` ...
    #[serde(deserialize_with = "null_is_default")]
    pub format: String,
    /// Length of the file in bytes.
    #[serde(deserialize_with = "null_is_default")]
    pub bytes: u64,
    /// Ranges of physical memory that the file holds, `[start, end)`, sorted.
    #[serde(deserialize_with = "null_is_default")]
    pub runs: Vec<(PhysicalAddress, PhysicalAddress)>,
}

/// The kernel in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelInfo {
    /// Image base of ntoskrnl.
    pub base: Option<VirtualAddress>,
    /// Page-table root of System.
    pub dtb: Option<PhysicalAddress>,
    /// Build number without its flag bits: 7601, 19045, 26100.
    pub build: Option<u32>,
    /// `x64`.
    pub arch: Option<String>,
    /// The PDB that the kernel's CodeView record names.
    pub pdb: Option<PdbInfo>,
    /// Where layouts came from: `pdb`, `isf`, `built_in`, `heuristic`.
    pub symbols: Option<String>,
    /// The file the symbols were read from.
    pub symbols_file: Option<String>,
    /// Where they came from in more words, if not from a file of this very kernel: the build whose layouts they are, what of
    /// the image confirms them, how each global was found.
    #[serde(deserialize_with = "null_is_default")]
    pub symbols_notes: Vec<String>,
    /// `NtBuildLabEx` or `NtBuildLab`: the source branch, for example `19041.1.amd64fre.vb_release.191206-1406`.
    pub lab: Option<String>,
    /// How the page-table root and the kernel were found.
    pub found_by: Option<String>,
}

/// Names one PDB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PdbInfo {
    /// File name: `ntkrnlmp.pdb`.
    pub name: String,
    /// 32 hexadecimal digits, upper case, as symbol servers write it.
    pub guid: String,
    /// Age of the DBI stream, as the CodeView record has it.
    pub age: u32,
}

record! {
    /// Facts about the machine as a whole.
    pub struct Machine {
        /// `KUSER_SHARED_DATA.NtSystemRoot`: `C:\Windows`.
        root: String,
        /// When the system started: `KUSER_SHARED_DATA.SystemTime - InterruptTime`.
        boot: Timestamp,
        /// When the image was taken: `KUSER_SHARED_DATA.SystemTime`.
        captured: Timestamp,
        /// Every clock that tells when the system started.
        clocks: Vec<Clock>,
        /// `KUSER_SHARED_DATA.ActiveProcessorCount`.
        processors: u32,
        /// `KUSER_SHARED_DATA.NtProductType`: `workstation`, `domain_controller`, `server`.
        product: String,
        /// `KUSER_SHARED_DATA.SafeBootMode`.
        safe_mode: bool,
        /// Seconds that the system slept or hibernated since it started: `KUSER_SHARED_DATA.InterruptTimeBias`. Nothing: this
        /// build does not count them.
        asleep: u64,
        ;
        /// The states that the records tell: see [`Mode::detect`].
        modes: Vec<Mode>,
    }
}

/// One clock's answer to when the system started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Structure and field: `KUSER_SHARED_DATA.SystemTime - InterruptTime`, `KeBootTime`, `System.CreateTime`.
    pub source: String,
    /// The time it gives.
    pub time: Timestamp,
}

/// A list of processes and how the walk that made it ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessList {
    /// How the walk ended: the worse of the two directions. `None`: whoever made the list does not say.
    pub end: Option<ListEnd>,
    /// The processes.
    #[serde(deserialize_with = "without_nulls")]
    pub items: Vec<Process>,
    /// The views beside the active list that were looked at.
    #[serde(deserialize_with = "null_is_default")]
    pub views: Vec<ProcessView>,
}

/// How a walk ended, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListEnd {
    /// It came back to its head.
    Complete,
    /// It came to an entry that it had seen before, which was not the head.
    Cycle,
    /// A link could not be read or leads nowhere.
    Broken,
    /// It was stopped at a cap.
    Limit,
}

/// What to read of an image beyond its lists.
#[derive(Clone, Copy, Default)]
pub struct ReadOptions<'o> {
    /// Search all of physical memory for processes, exited and unlinked ones included, for threads that name others, and for
    /// hives that are in no list: one pass, which takes as long as reading the file.
    pub scan: bool,
    /// Which processes to look into: address ranges, threads, handles.
    pub inside: InsideOf,
    /// Called now and then while memory is scanned, with bytes done and bytes in all.
    pub progress: Option<&'o (dyn Fn(u64, u64) + Sync)>,
}

impl std::fmt::Debug for ReadOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOptions").field("scan", &self.scan).field("inside", &self.inside).finish_non_exhaustive()
    }
}

/// A document holds this many warnings at most: a list that leads into other memory gives one for every entry.
const MAX_WARNINGS: usize = 1000;

impl System {
    /// Reads everything from an image's kernel, without scanning memory.
    ///
    /// # Errors
    /// The symbols lack the head of the process list, or no process was found by any view.
    pub fn read(kernel: &Kernel<'_>) -> Result<Self, Error> {
        Self::read_with(kernel, &ReadOptions::default())
    }

    /// The same with choices.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_with(kernel: &Kernel<'_>, options: &ReadOptions<'_>) -> Result<Self, Error> {
        let (mut processes, mut listed) = crate::process::list::active_list(kernel)?;
        crate::process::views::add(kernel, &mut processes, &mut listed, options.scan);
        let mut hives = None;
        if options.scan {
            let found = sweep(kernel, options.progress.unwrap_or(&|_, _| ()));
            let views = (found.processes, found.threads);
            crate::process::views::add_by_scan(kernel, &mut processes, &mut listed, views.0, views.1);
            hives = Some(found.hives);
        }
        if processes.items.is_empty() {
            let why = listed.first().map_or_else(String::new, |warning| format!(": {}", warning.message));
            return Err(Error::NoProcesses {
                what: format!("no view of the processes leads to any{why}"),
                advice: "The symbols are those of this kernel, so the image is damaged there; search all of it with --scan, or \
                         try another image of the machine"
                    .into(),
            });
        }
        crate::process::allocation::judge(kernel, &mut processes);
        crate::process::look_inside::look(kernel, &mut processes, options.inside);
        let image = kernel.image();
        let machine = Machine::read(kernel, &processes);
        let drivers = DriverList::read(kernel, &mut listed);
        let mut registry = Registry::open(kernel);
        if let Some(found) = hives {
            registry.add_found(found);
        }
        let session_manager = SessionManagerKeys::read(&registry);
        let odd = [image.warnings(), kernel.warnings(), registry.warnings()].into_iter().flatten().cloned();
        let mut warnings: Vec<Warning> = odd.chain(listed).collect();
        if let Some(more) = warnings.len().checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
            warnings.truncate(MAX_WARNINGS);
            warnings.push(Warning::new("warnings", format!("{more} further warnings are left out")));
        }
        let (image, kernel) = (Some(image.info()), Some(kernel.info()));
        let (sessions, cross_view) = (Vec::new(), Vec::new());
        let mut system =
            Self { image, kernel, machine, processes, sessions, cross_view, drivers, session_manager, warnings };
        system.conclude();
        Ok(system)
    }

    /// Fills in what follows from the records: the sessions, the cross view, and the states of the machine.
    pub fn conclude(&mut self) {
        let build = self.kernel.as_ref().and_then(|kernel| kernel.build);
        self.sessions = Session::rebuild(&self.processes, build);
        self.cross_view = cross_view(self);
        self.machine.modes = Mode::detect(self);
    }
}

impl Machine {
    /// Reads what `KUSER_SHARED_DATA` says, and every clock.
    fn read(kernel: &Kernel<'_>, processes: &ProcessList) -> Self {
        let header = kernel.image().dump_header();
        let shared = || {
            kernel.shared_data().ok_or_else(|| Absent::unreadable(format!("KUSER_SHARED_DATA at {KUSER_SHARED_DATA}")))
        };
        let boot_by_header = header.and_then(|header| header.boot);
        // There always is such a time.
        let unclear = || Absent::unparsable("KUSER_SHARED_DATA: InterruptTime is later than SystemTime");
        let boot = shared().and_then(|shared| shared.boot().ok_or_else(unclear));
        let boot = boot.or_else(|absent| boot_by_header.ok_or(absent));
        let captured = shared().map(|shared| Some(shared.system_time).filter(|time| time.0 != 0));
        Self {
            root: shared().map(|shared| shared.root.clone()).into(),
            boot: boot.into(),
            captured: Reading::from(captured)
                .or(header.and_then(|header| header.system_time).map_or(Reading::Nothing, Reading::Value)),
            clocks: Reading::Value(clocks(kernel, processes)),
            processors: shared().map(|shared| Some(shared.processors).filter(|number| *number != 0)).into(),
            product: shared().map(|shared| shared.product().map(str::to_owned)).into(),
            safe_mode: shared().map(|shared| shared.safe_boot != 0).into(),
            asleep: shared().and_then(asleep).into(),
            modes: Vec::new(),
        }
    }
}

/// Seconds of sleep, which cannot be more than the time since the start.
fn asleep(shared: &crate::kernel::SharedData) -> Result<Option<u64>, Absent> {
    match shared.interrupt_time_bias {
        Some(bias) if bias > shared.interrupt_time => {
            Err(Absent::unparsable("InterruptTimeBias is more than InterruptTime"))
        }
        bias => Ok(bias.map(|bias| bias / 10_000_000)),
    }
}

/// What each clock says of when the system started.
fn clocks(kernel: &Kernel<'_>, processes: &ProcessList) -> Vec<Clock> {
    let shared = kernel.shared_data().and_then(crate::kernel::SharedData::boot);
    let global = kernel.global("KeBootTime").ok().and_then(|at| kernel.space().read_u64(at).ok());
    let system = processes.items.iter().find(|process| process.pid.value() == Some(&4));
    let header = kernel.image().dump_header().and_then(|header| header.boot);
    [
        ("KUSER_SHARED_DATA.SystemTime - InterruptTime", shared),
        ("KeBootTime", global.filter(|ticks| *ticks != 0).and_then(Timestamp::plausible)),
        ("System.CreateTime", system.and_then(|system| system.created.value().copied())),
        ("crash dump header SystemTime - SystemUpTime", header),
    ]
    .into_iter()
    .filter_map(|(source, time)| Some(Clock { source: source.to_owned(), time: time? }))
    .collect()
}

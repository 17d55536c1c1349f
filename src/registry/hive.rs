//! One hive: in memory, or a file.

use super::cells::{Backing, CellIndex, FILE_HEADER};
use super::key::Key;
use super::map::CellMap;
use super::node::Fixed;
use super::path;
use crate::budget::{Budget, Use, spent};
use crate::kernel::Cmhive;
use crate::memory::AddressSpace;
use crate::reading::record;
use crate::{Absent, Error, PhysicalAddress, Reading, Timestamp, VirtualAddress};
use std::sync::Arc;

record! {
    /// One hive.
    pub struct HiveRecord {
        /// Address of the `_CMHIVE`. Nothing: it is a file.
        cmhive: VirtualAddress,
        /// The same, on the bus.
        physical: PhysicalAddress,
        /// Path of the hive's file: `_CMHIVE.FileFullPath`, or `FileUserName` where that is empty. Nothing: both are, as for
        /// hives that live in memory only.
        file: String,
        /// Where it is mounted: `\REGISTRY\MACHINE\SYSTEM`.
        root: String,
        /// `_HHIVE.Storage[0].Length`: bytes of bins that are in the file too.
        stable_bytes: u32,
        /// `_HHIVE.Storage[1].Length`: bytes of bins in memory only.
        volatile_bytes: u32,
        /// Minor version of the hive's format: 3 to 6.
        version: u32,
        /// `_HBASE_BLOCK.TimeStamp`: when the file was last written.
        last_written: Timestamp,
        ;
        /// What `root` was taken from: `HiveRootPath`, `CmpMasterHive`, `hivelist`, `file name`; empty: nothing told it.
        root_source: String,
        /// The views that hold this hive: `hive_list`, `scan`.
        sources: Vec<String>,
        /// What is odd about it.
        notes: Vec<String>,
    }
}

/// Bytes that a hive takes besides its texts.
const RECORD: usize = 1 << 10;
/// Where a hive's root key is unless its header says otherwise: behind the header of the first bin.
const FIRST_CELL: u32 = 0x20;
/// `_HBASE_BLOCK`: its size, which is that of a file's header.
pub(super) const HEADER: usize = 0x1000;
/// Bytes of it that mean something since Windows XP.
const HEADER_USED: usize = 0x200;

/// One hive, whose cells are read when asked for.
#[derive(Clone, Debug)]
pub struct Hive<'k> {
    pub(super) backing: Backing<'k>,
    pub(super) header: Result<Vec<u8>, Absent>,
    record: HiveRecord,
    /// What its records are charged to, where a system is read.
    budget: Option<Arc<Budget>>,
}

impl<'k> Hive<'k> {
    /// The hive at `cmhive`. `user`: the address space of the process Registry.
    pub(super) fn read(
        kernel: &'k crate::kernel::Kernel<'k>,
        cmhive: &Cmhive<'k>,
        user: Result<Option<AddressSpace<'k>>, Absent>,
        source: &str,
    ) -> Result<Self, Absent> {
        let header = read_header(kernel, cmhive, &user);
        let backing = Backing::Memory(Box::new(CellMap::new(kernel, cmhive, user)?));
        let file = match (cmhive.file_full_path(), cmhive.file_user_name()) {
            (Reading::Value(path), _) | (_, Reading::Value(path)) => Reading::Value(path),
            (full, Reading::Nothing) => full,
            (_, user) => user,
        };
        let fixed = header.clone().map(Fixed);
        let mut record = HiveRecord {
            cmhive: Reading::Value(cmhive.address()),
            physical: kernel.space().translate(cmhive.address()).map_err(Absent::from).into(),
            file,
            root: cmhive.root_path(),
            stable_bytes: backing.length(CellIndex(0)).into(),
            volatile_bytes: backing.length(CellIndex(1 << 31)).into(),
            version: cmhive
                .version()
                .or_else(|why| fixed.as_ref().map(|fixed| fixed.u32(0x18)).map_err(|_| why))
                .into(),
            last_written: fixed.as_ref().map_err(Clone::clone).map(|fixed| time(fixed.u64(0xc))).into(),
            root_source: String::new(),
            sources: vec![source.to_owned()],
            notes: Vec::new(),
        };
        if let Err(why) = &header {
            record.notes.push(format!("the copy of its file's header: {why}"));
        }
        if record.root.value().is_some() {
            record.root_source = "HiveRootPath".to_owned();
        }
        Ok(Self { backing, header, record, budget: None })
    }

    /// Whether another hive has the same cells: its maps and its header are the same.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let same_header = matches!((&self.header, &other.header), (Ok(own), Ok(theirs)) if own == theirs);
        self.record.cmhive == other.record.cmhive && self.record.cmhive.value().is_some()
            || same_header && self.backing.has_maps_of(&other.backing)
    }

    /// A hive file (`regf`), read as it lies: log files beside it are not replayed.
    ///
    /// # Errors
    /// It is none.
    pub fn from_file(mut bytes: Vec<u8>) -> Result<Hive<'static>, Error> {
        let header = bytes.get(..HEADER).filter(|header| header.starts_with(b"regf") && bytes.len() > FILE_HEADER);
        let Some(header) = header else {
            return Err(Error::NotAnImage {
                what: "this is no registry hive: it does not start with `regf` and a header of 4096 bytes".to_owned(),
                advice: "Name a hive file, for example Windows\\System32\\config\\SYSTEM".to_owned(),
            });
        };
        let fixed = Fixed(header.to_vec());
        let mut record = HiveRecord {
            cmhive: Reading::Nothing,
            physical: Reading::Nothing,
            file: Reading::Nothing,
            root: Reading::Nothing,
            stable_bytes: Reading::Value(fixed.u32(0x28)),
            volatile_bytes: Reading::Value(0),
            version: Reading::Value(fixed.u32(0x18)),
            last_written: Ok(time(fixed.u64(0xc))).into(),
            root_source: String::new(),
            sources: vec!["file".to_owned()],
            notes: Vec::new(),
        };
        if fixed.u32(4) != fixed.u32(8) {
            record.notes.push("it was not written to its end: what its log files hold is missing".to_owned());
        }
        let header = Ok(header.to_vec());
        // Behind the bins, files have room to grow.
        let length = usize::try_from(fixed.u32(0x28)).unwrap_or(usize::MAX).saturating_add(FILE_HEADER);
        if length > bytes.len() {
            record.notes.push(format!("its header says {length:#x} bytes, and it has {:#x}", bytes.len()));
        }
        bytes.truncate(length);
        Ok(Hive { backing: Backing::File(bytes), header, record, budget: None })
    }

    /// Charges its records to a budget from now on, and what it has told already.
    pub(super) fn within(mut self, budget: &Arc<Budget>) -> Result<Self, Absent> {
        let texts = [&self.record.file, &self.record.root].into_iter().filter_map(Reading::value);
        let bytes = texts.map(String::len).fold(RECORD, usize::saturating_add);
        budget.take(u64::try_from(bytes).unwrap_or(u64::MAX), Use::Core)?;
        self.budget = Some(Arc::clone(budget));
        Ok(self)
    }

    /// Whether there is room for a record of so many bytes. One may take a quarter of what is left.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Absent> {
        let Some(budget) = &self.budget else { return Ok(()) };
        if usize::try_from(bytes).is_ok_and(|bytes| bytes <= budget.records(1, Use::Keys)) {
            return budget.take(bytes, Use::Keys);
        }
        budget.note_large();
        Err(spent())
    }

    /// The record of the hive.
    #[must_use]
    pub const fn record(&self) -> &HiveRecord {
        &self.record
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount(&self) -> Option<&str> {
        self.record.root.value().map(String::as_str)
    }

    pub(super) fn set_mount(&mut self, root: String, source: &str) {
        self.record.root = Reading::Value(root);
        source.clone_into(&mut self.record.root_source);
    }

    /// What to call it in messages.
    #[must_use]
    pub fn label(&self) -> String {
        let HiveRecord { root, file, cmhive, .. } = &self.record;
        match (root.value().or_else(|| file.value()), cmhive.value()) {
            (Some(name), _) => name.clone(),
            (None, Some(address)) => format!("the hive at {address}"),
            (None, None) => "the hive".to_owned(),
        }
    }

    /// The root key's cell (`_HBASE_BLOCK.RootCell`).
    pub(super) fn root_cell(&self) -> CellIndex {
        match &self.header {
            Ok(header) => CellIndex(Fixed(header.clone()).u32(0x24)),
            Err(_) if self.record.stable_bytes.value() == Some(&0) => CellIndex(FIRST_CELL | 1 << 31),
            Err(_) => CellIndex(FIRST_CELL),
        }
    }

    /// The root key.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn root(&self) -> Result<Key<'_>, Absent> {
        Key::root(self, self.root_cell(), self.mount().unwrap_or_default().to_owned())
            .map_err(|why| Absent::new(why.kind, format!("{}: {}", self.label(), why.detail)))
    }

    /// The key at `path` below the root, in upper or lower case. Links are not followed. `None`: it is really not there.
    ///
    /// # Errors
    /// Why that cannot be said.
    pub fn key(&self, path: &str) -> Result<Option<Key<'_>>, Absent> {
        let mut key = self.root()?;
        for part in path.split('\\').filter(|part| !part.is_empty()) {
            match key.subkey(part).map_err(|why| Absent::new(why.kind, format!("{}: {}", key.path(), why.detail)))? {
                Some(next) => key = next,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// Takes the mount point from the file's name, where nothing better told it.
    pub(super) fn mount_by_file(&mut self) {
        if self.mount().is_none()
            && let Some(root) = self.record.file.value().and_then(|file| path::mount_by_file(file))
        {
            self.set_mount(root, "file name");
        }
    }
}

/// The memory copy of the file's header.
fn read_header<'k>(
    kernel: &'k crate::kernel::Kernel<'k>,
    cmhive: &Cmhive<'k>,
    user: &Result<Option<AddressSpace<'k>>, Absent>,
) -> Result<Vec<u8>, Absent> {
    let at = cmhive.base_block()?;
    let space = match user {
        Ok(Some(user)) if !at.is_kernel() => *user,
        _ => kernel.space(),
    };
    let mut bytes = vec![0u8; HEADER];
    match space.read_some(at, &mut bytes) {
        (read, Some(fault)) if read < HEADER_USED => Err(fault.into()),
        _ if !bytes.starts_with(b"regf") => Err(Absent::unparsable(format!("no `regf` at {at}"))),
        _ => Ok(bytes),
    }
}

fn time(ticks: u64) -> Option<Timestamp> {
    Timestamp::plausible(ticks).filter(|time| time.0 != 0)
}

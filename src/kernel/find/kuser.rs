//! `_KUSER_SHARED_DATA`: the page that every x64 Windows maps at one address. Its layout is public and fixed (ntddk.h).

use crate::kernel::text;
use crate::memory::AddressSpace;
use crate::{Absent, Timestamp, VirtualAddress};

/// Where the kernel maps it.
pub const KUSER_SHARED_DATA: VirtualAddress = VirtualAddress(0xffff_f780_0000_0000);

/// What is read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedData {
    /// `NtMajorVersion`, `NtMinorVersion`.
    pub version: (u32, u32),
    /// `NtBuildNumber`: zero before Windows 10.
    pub build: u32,
    /// `NtSystemRoot`: `C:\Windows`.
    pub root: String,
    /// `SystemTime`: the wall clock, UTC.
    pub system_time: Timestamp,
    /// `InterruptTime`: 100 ns ticks since the system started, sleep not counted on some builds.
    pub interrupt_time: u64,
    /// `InterruptTimeBias` (Windows 7 on): the part of it that the system slept or hibernated. `None`: an older system.
    pub interrupt_time_bias: Option<u64>,
    /// `NtProductType`.
    pub product_type: u32,
    /// `SafeBootMode`.
    pub safe_boot: u8,
    /// `ActiveProcessorCount` (Windows 7 on).
    pub processors: u32,
    /// `NumberOfPhysicalPages`: pages of memory that the system uses.
    pub physical_pages: u32,
}

const SIZE: usize = 0x3c4;

impl SharedData {
    /// Reads the page in this address space.
    ///
    /// # Errors
    /// It is not mapped, or what is there is not this structure.
    pub fn read(space: AddressSpace<'_>) -> Result<Self, Absent> {
        let bytes: [u8; SIZE] = space.read_array(KUSER_SHARED_DATA)?;
        Self::parse(&bytes).ok_or_else(|| Absent::unparsable(format!("no KUSER_SHARED_DATA at {KUSER_SHARED_DATA}")))
    }

    /// The page, wherever it lies: by what stands in it.
    pub(crate) fn of_page(bytes: &[u8; 4096]) -> Option<Self> {
        // A drive, a colon and a backslash rule out nearly all pages.
        let root = bytes.get(0x30..0x36)?;
        (root.get(2..)? == [b':', 0, b'\\', 0]).then(|| Self::parse(bytes.first_chunk()?))?
    }

    fn parse(bytes: &[u8; SIZE]) -> Option<Self> {
        let u32_at = |offset: usize| {
            let bytes = bytes.get(offset..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        // _KSYSTEM_TIME: LowPart, High1Time, High2Time; equal high parts mean that no update was under way.
        let time_at =
            |offset: usize| Some(u64::from(u32_at(offset)?) | (u64::from(u32_at(offset.checked_add(4)?)?) << 32));
        let root = bytes.get(0x30..0x30 + 520)?;
        let (units, _) = root.as_chunks::<2>();
        let length = units.iter().position(|unit| *unit == [0, 0])?;
        let mut data = Self {
            version: (u32_at(0x26c)?, u32_at(0x270)?),
            build: u32_at(0x260)?,
            root: text::utf16(units.get(..length)?.as_flattened()),
            system_time: Timestamp::plausible(time_at(0x14)?)?,
            interrupt_time: time_at(0x8)?,
            interrupt_time_bias: Some(u64::from(u32_at(0x3b0)?) | (u64::from(u32_at(0x3b4)?) << 32)),
            product_type: u32_at(0x264)?,
            safe_boot: *bytes.get(0x2ec)?,
            processors: u32_at(0x3c0)?,
            physical_pages: u32_at(0x2e8)?,
        };
        if data.version < (6, 1) {
            data.interrupt_time_bias = None;
        }
        data.is_plausible().then_some(data)
    }

    /// NT 5.0 to 10.0, and a system root that is a path on a drive.
    fn is_plausible(&self) -> bool {
        let version = matches!(self.version, (5, 0..=2) | (6, 0..=4) | (10, 0));
        let mut root = self.root.chars();
        let drive = root.next().is_some_and(|c| c.is_ascii_alphabetic());
        version && drive && root.next() == Some(':') && root.next() == Some('\\') && !root.any(char::is_control)
    }

    /// When the system started, by these two clocks. `None`: they make no sense together.
    #[must_use]
    pub fn boot(&self) -> Option<Timestamp> {
        self.system_time.0.checked_sub(self.interrupt_time).filter(|boot| *boot != 0).map(Timestamp)
    }

    /// `workstation`, `domain_controller` or `server`, by `_NT_PRODUCT_TYPE`.
    #[must_use]
    pub const fn product(&self) -> Option<&'static str> {
        match self.product_type {
            1 => Some("workstation"),
            2 => Some("domain_controller"),
            3 => Some("server"),
            _ => None,
        }
    }
}

//! The record of a kernel that documents hold.

use super::PageFileInfo;
use super::find::choose::OtherSystem;
use crate::reading::null_is_default;
use crate::symbols::PdbInfo;
use crate::{Absent, PhysicalAddress, VirtualAddress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kernel in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
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
    /// The page files that the kernel has, with the files that were given for them.
    #[serde(deserialize_with = "null_is_default")]
    pub page_files: Vec<PageFileInfo>,
    /// Other systems in the image: of an earlier boot, or made to mislead.
    #[serde(deserialize_with = "null_is_default")]
    pub others: Vec<OtherSystem>,
    /// Why it cannot be told that this system is the one that ran last. `None`: it can.
    pub undecided: Option<String>,
    /// Whether all memory was searched for other systems: a quick look that finds one goes no further than 16 MiB of a large image,
    /// unless memory is scanned. `None`: a root was given.
    pub others_searched: Option<bool>,
    /// Ranges of physical memory that the kernel has (`MmPhysicalMemoryBlock`), `[start, end)`, sorted.
    #[serde(deserialize_with = "null_is_default")]
    pub memory_runs: Vec<(PhysicalAddress, PhysicalAddress)>,
    /// Pages of memory that the system counts (`KUSER_SHARED_DATA.NumberOfPhysicalPages`).
    pub memory_pages: Option<u32>,
    /// Why members are not known, by name.
    #[serde(deserialize_with = "null_is_default")]
    pub absent: BTreeMap<String, Absent>,
}

/// Numbers of builds that `NtBuildLab` can begin with: from Server 2003 on, and those to come.
const BUILDS: std::ops::Range<u32> = 2600..1 << 16;

impl KernelInfo {
    /// The build that `NtBuildLab` was made for: 19041 in `19041.1.amd64fre.vb_release.191206-1406`. Updates that only switch features
    /// on (19045) leave it as it was.
    #[must_use]
    pub fn lab_build(&self) -> Option<u32> {
        self.lab.as_ref()?.split('.').next()?.parse().ok().filter(|build| BUILDS.contains(build))
    }
}

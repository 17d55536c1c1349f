//! What says which kernel ran, wherever it lies in physical memory: CodeView records, shared pages, build strings.

use crate::discover::ladder::same_kernel;
use crate::image::PhysicalMemory;
use crate::kernel::SharedData;
use crate::kernel::find::pe;
use crate::memory::Scanner;
use crate::{MemoryImage, PdbInfo, PhysicalAddress};
use std::collections::BTreeSet;

/// Records, pages and strings that are kept: a machine has a few of each, with those of its files in the cache.
const MAX_KEPT: usize = 64;
/// Bytes of a CodeView record with a long path in it.
const RECORD: usize = 0x120;
/// What stands behind the build number in `NtBuildLab` and `NtBuildLabEx`: `19041.1.amd64fre.vb_release.191206-1406`.
const FREE: &[u8] = b".amd64fre.";
/// Bytes in front of that which hold both numbers.
const BEFORE: usize = 16;
/// Bytes behind it: the branch and the date.
const BEHIND: usize = 48;

/// What was met.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// PDBs of kernels that CodeView records name, each once.
    pub records: Vec<PdbInfo>,
    /// Shared pages, each once.
    pub pages: Vec<SharedData>,
    /// Build numbers in build strings.
    pub labs: BTreeSet<u32>,
}

impl Traces {
    /// The build numbers that pages and strings say.
    pub(super) fn builds(&self) -> BTreeSet<u32> {
        let pages = self.pages.iter().map(|page| page.build & 0xffff).filter(|build| *build != 0);
        pages.chain(self.labs.iter().copied()).collect()
    }

    /// The build, if they say one: enablement packages raise the number of the shared page, and leave that of the string.
    pub(super) fn one_build(&self) -> Option<u32> {
        let builds = self.builds();
        let last = builds.last().copied()?;
        builds.iter().all(|build| same_kernel(*build, last)).then_some(last)
    }
}

impl Traces {
    /// Adds what is searched for to a scan.
    pub(super) fn add_to(scanner: Scanner<'_>) -> Scanner<'_> {
        scanner.signature(b"RSDS", 4).signature(FREE, 1).pages(|page| SharedData::of_page(page.bytes).is_some())
    }

    /// Takes a hit: `what` counts from what was [added](Self::add_to) first.
    pub(super) fn take(&mut self, image: &MemoryImage, what: usize, at: PhysicalAddress) {
        match what {
            0 if self.records.len() < MAX_KEPT => {
                let mut bytes = [0u8; RECORD];
                let read = image.read(at, &mut bytes);
                let record = bytes.get(..read).and_then(pe::parse_rsds).filter(|pdb| pe::is_kernel_pdb(&pdb.name));
                self.records.extend(record.filter(|pdb| !self.records.contains(pdb)));
            }
            1 if self.labs.len() < MAX_KEPT => {
                let mut bytes = [0u8; BEFORE + BEHIND];
                let from = at.wrapping_sub(u64::try_from(BEFORE).unwrap_or(0));
                let read = image.read(from, &mut bytes);
                self.labs.extend(bytes.get(..read).and_then(lab));
            }
            2 if self.pages.len() < MAX_KEPT => {
                let mut bytes = [0u8; 4096];
                if image.read(at, &mut bytes) == bytes.len()
                    && let Some(page) = SharedData::of_page(&bytes)
                    && !self.pages.contains(&page)
                {
                    self.pages.push(page);
                }
            }
            _ => {}
        }
    }
}

/// The build number in front of `.amd64fre.`: the first of two numbers, with a point between them.
fn lab(bytes: &[u8]) -> Option<u32> {
    let front =
        std::str::from_utf8(bytes.get(..BEFORE)?.rsplit(|byte| !byte.is_ascii_digit() && *byte != b'.').next()?);
    let (build, update) = front.ok()?.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(build) && is_number(update)).then(|| build.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_of_a_build_string() {
        let of = |text: &str| {
            let mut bytes = vec![0u8; BEFORE];
            bytes.extend(text.as_bytes());
            let at = bytes.windows(FREE.len()).position(|window| window == FREE).unwrap();
            lab(&bytes[at - BEFORE..])
        };
        assert_eq!(of("19041.1.amd64fre.vb_release.191206-1406"), Some(19041));
        assert_eq!(of("7601.24384.amd64fre.win7sp1_ldr_escrow.190220-1800"), Some(7601));
        assert_eq!(of("26100.amd64fre.ge_release"), None, "one number alone is none of a kernel");
        assert_eq!(of("x.1.amd64fre.y"), None);
    }
}

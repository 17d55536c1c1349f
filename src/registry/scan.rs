//! Hives that are not in the list, found by their signature in physical memory.

use super::Registry;
use crate::kernel::{Cmhive, HIVE_SIGNATURE};
use crate::memory::{AwayPages, Scanner};
use crate::{Absent, PAGE_SIZE, PhysicalAddress, VirtualAddress, Warning};
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

/// Pool allocations, and so hives, start at multiples of this.
const ALIGNMENT: usize = 16;
/// The kernel's half of the address space, with however many bits.
const KERNEL: (VirtualAddress, VirtualAddress) = (VirtualAddress(1 << 63), VirtualAddress(u64::MAX));
/// Regions of the kernel's half looked at: 64 GiB in small pages. Hostile tables could map a hundred times that.
const MAX_REGIONS: usize = 1 << 24;
/// Pages of the kernel's half that are not in memory and are searched all the same: 4 GiB.
const MAX_PAGED_OUT: usize = 1 << 20;
/// Signatures that are followed up: real systems have one for each hive, and a handful in code and freed memory.
const MAX_SIGNATURES: usize = 1 << 16;

const SIGNATURE: [u8; 4] = HIVE_SIGNATURE.to_le_bytes();

/// Where signatures of hives are, in order.
#[derive(Debug, Default)]
pub(crate) struct HiveSearch {
    found: Vec<PhysicalAddress>,
    /// Signatures beyond those that are followed up.
    more: usize,
}

impl HiveSearch {
    /// Adds what hives are known by to a scan.
    pub(crate) fn add_to(scanner: Scanner<'_>) -> Scanner<'_> {
        scanner.signature(&SIGNATURE, ALIGNMENT)
    }

    pub(crate) fn take(&mut self, at: PhysicalAddress) {
        if self.found.len() < MAX_SIGNATURES {
            self.found.push(at);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

impl Registry<'_> {
    /// Scans physical memory for hives that are not in the list, adds those whose structure holds together, and returns their
    /// number. `progress` is called with bytes done and bytes in all.
    pub fn scan(&mut self, progress: &(dyn Fn(u64, u64) + Sync)) -> usize {
        let mut search = HiveSearch::default();
        let scanner = HiveSearch::add_to(Scanner::new()).max_hits(usize::MAX).progress(progress);
        scanner.run(self.kernel.space().memory(), |hit| {
            search.take(hit.at);
            ControlFlow::Continue(())
        });
        self.add_found(search)
    }

    /// Adds the hives that a scan found, and returns their number.
    pub(crate) fn add_found(&mut self, search: HiveSearch) -> usize {
        if search.more > 0 {
            let number = search.found.len().saturating_add(search.more);
            let message = format!("{number} signatures of hives; the first {MAX_SIGNATURES} are followed up");
            self.warnings.push(Warning::new("registry", message));
        }
        let paged_out = self.search_paged_out();
        let known: HashSet<VirtualAddress> =
            self.hives.iter().filter_map(|hive| hive.record().cmhive.value().copied()).collect();
        let (mut added, mut unmapped) = (0usize, Vec::new());
        let mut addresses = paged_out;
        for (physical, mapped) in self.mapped_at(&search.found) {
            match mapped {
                Some(address) => addresses.push(address),
                None => unmapped.push(physical),
            }
        }
        for address in addresses {
            if !known.contains(&address) && self.holds_together(address).is_ok_and(|holds| holds) {
                self.add(address, "scan");
                added = added.saturating_add(1);
            }
        }
        if let Some(first) = unmapped.first() {
            let (number, s) = (unmapped.len(), if unmapped.len() == 1 { "" } else { "s" });
            let message =
                format!("{number} signature{s} of hives where the kernel maps nothing, first at physical {first}");
            self.warnings.push(Warning::new("registry", message));
        }
        self.find_mounts();
        added
    }

    /// Signatures of hives in pages of the kernel's half that are in page files or in the compressed store. (Processes and threads
    /// lie in nonpaged memory.) How many were searched, and how many were not seen, is said.
    fn search_paged_out(&mut self) -> Vec<VirtualAddress> {
        let space = self.kernel.space();
        let (mut found, mut away) = (Vec::new(), AwayPages::default());
        let mut pages = space.paged_out(KERNEL.0, KERNEL.1);
        for at in pages.by_ref().take(MAX_PAGED_OUT) {
            let Some(page) = away.take(space, at, &space.resolve(at)) else { continue };
            let hits = page.chunks(ALIGNMENT).enumerate().filter(|(_, bytes)| bytes.starts_with(&SIGNATURE));
            let offsets = hits.filter_map(|(index, _)| u64::try_from(index.saturating_mul(ALIGNMENT)).ok());
            found
                .extend(offsets.map(|offset| at.wrapping_add(offset)).take(MAX_SIGNATURES.saturating_sub(found.len())));
        }
        away.untried = u64::try_from(pages.count()).unwrap_or(u64::MAX);
        if let Some(told) = away.told("searched for hives") {
            let message = format!("pages of the kernel that are not in memory: {told}");
            self.warnings.push(Warning::new("scan", message));
        }
        found
    }

    /// The virtual address of each, out of the kernel's page tables.
    fn mapped_at(&self, found: &[PhysicalAddress]) -> BTreeMap<PhysicalAddress, Option<VirtualAddress>> {
        let mut mapped: BTreeMap<PhysicalAddress, Option<VirtualAddress>> =
            found.iter().map(|at| (*at, None)).collect();
        let mut left = mapped.len();
        for region in self.kernel.space().regions(KERNEL.0, KERNEL.1).take(MAX_REGIONS) {
            if left == 0 {
                break;
            }
            // A region of 1 GiB at the top of memory does not wrap.
            let end = PhysicalAddress(region.physical.0.saturating_add(region.bytes.max(PAGE_SIZE)));
            for (at, place) in mapped.range_mut(region.physical..end).filter(|(_, place)| place.is_none()) {
                *place = Some(region.at.wrapping_add(at.0.saturating_sub(region.physical.0)));
                left = left.saturating_sub(1);
            }
        }
        mapped
    }

    /// Whether what lies at `address` can be a hive: a signature alone is in the kernel's code and in freed memory too.
    fn holds_together(&self, address: VirtualAddress) -> Result<bool, Absent> {
        let hive = Cmhive::read(self.kernel, address)?;
        let block = hive.base_block()?;
        let mut bytes = 0u64;
        for storage in hive.storages()? {
            let length = storage.length?;
            let map = storage.map?;
            if u64::from(length) % PAGE_SIZE != 0 || length != 0 && !map.is_kernel() {
                return Ok(false);
            }
            bytes = bytes.saturating_add(u64::from(length));
        }
        Ok(hive.is_hive()? && bytes > 0 && (block.is_null() || block.is_kernel()))
    }
}

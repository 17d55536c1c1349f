//! Hives that are not in the list, found by their signature in physical memory.

use super::Registry;
use crate::kernel::{Cmhive, HIVE_SIGNATURE};
use crate::memory::scan_pages;
use crate::{Absent, PAGE_SIZE, PhysicalAddress, VirtualAddress, Warning};
use std::collections::{BTreeMap, HashSet};

/// Pool allocations, and so hives, start at multiples of this.
const ALIGNMENT: usize = 16;
/// The kernel's half of the address space.
const KERNEL: (VirtualAddress, VirtualAddress) = (VirtualAddress(0xffff_8000_0000_0000), VirtualAddress(u64::MAX));
/// Regions of the kernel's half looked at: 64 GiB in small pages. Hostile tables could map a hundred times that.
const MAX_REGIONS: usize = 1 << 24;
/// Signatures that are followed up: real systems have one for each hive, and a handful in code and freed memory.
const MAX_SIGNATURES: usize = 1 << 16;

impl Registry<'_> {
    /// Scans physical memory for hives that are not in the list, adds those whose structure holds together, and returns their
    /// number. `progress` is called with bytes done and bytes in all.
    pub fn scan(&mut self, progress: &(dyn Fn(u64, u64) + Sync)) -> usize {
        let known: HashSet<VirtualAddress> =
            self.hives.iter().filter_map(|hive| hive.record().cmhive.value().copied()).collect();
        let found = self.signatures(progress);
        let mut added = 0usize;
        for (physical, mapped) in self.mapped_at(&found) {
            let Some(address) = mapped else {
                let message = format!("the hive's signature at physical {physical} is not mapped by the kernel");
                self.warnings.push(Warning::new("registry", message));
                continue;
            };
            if !known.contains(&address) && self.holds_together(address).is_ok_and(|holds| holds) {
                self.add(address, "scan");
                added = added.saturating_add(1);
            }
        }
        self.find_mounts();
        added
    }

    /// Physical addresses of signatures, in order.
    fn signatures(&mut self, progress: &(dyn Fn(u64, u64) + Sync)) -> Vec<PhysicalAddress> {
        let memory = self.kernel.space().memory();
        let look = |at: PhysicalAddress, page: &[u8; 4096]| {
            let (places, _) = page.as_chunks::<ALIGNMENT>();
            let hits: Vec<PhysicalAddress> = (0u64..)
                .step_by(ALIGNMENT)
                .zip(places)
                .filter(|(_, place)| place.starts_with(&HIVE_SIGNATURE.to_le_bytes()))
                .map(|(offset, _)| at.wrapping_add(offset))
                .collect();
            Some(hits).filter(|hits| !hits.is_empty())
        };
        let mut found = scan_pages(memory, look, |_| false, progress).concat();
        if found.len() > MAX_SIGNATURES {
            let message = format!("{} signatures of hives; the first {MAX_SIGNATURES} are followed up", found.len());
            self.warnings.push(Warning::new("registry", message));
            found.truncate(MAX_SIGNATURES);
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

//! Images with more than one system in them, and with page tables that somebody made to mislead. Entries as the processor reads
//! them (Intel SDM volume 3, 4.5); nothing of the reader is used.

use crate::forge::Forged;
use crate::paging::bit;
use crate::physical::PAGE;

/// The bits of an entry that say where its table or page lies.
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// Lays images of one memory over one another: what is not zero in a later one counts.
#[must_use]
pub fn together(images: &[&[u8]]) -> Vec<u8> {
    let mut all = vec![0u8; images.iter().map(|image| image.len()).max().unwrap_or(0)];
    for image in images {
        for (to, page) in all.chunks_mut(PAGE as usize).zip(image.chunks(PAGE as usize)) {
            if page.iter().any(|byte| *byte != 0) {
                to[..page.len()].copy_from_slice(page);
            }
        }
    }
    all
}

/// A raw image under change: byte n is physical address n.
#[derive(Clone, Debug)]
pub struct Edit {
    /// The image.
    pub image: Vec<u8>,
    /// The root through which it is changed.
    pub root: u64,
}

impl Edit {
    /// The image of a machine, through System's root.
    #[must_use]
    pub fn of(forged: &Forged) -> Self {
        Self { image: forged.image.clone(), root: forged.truth.dtb }
    }

    /// The 64-bit number at a physical address.
    #[must_use]
    pub fn u64_at(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.image[at as usize..at as usize + 8].try_into().expect("8 bytes"))
    }

    /// Writes bytes at a physical address.
    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        self.image[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes a 64-bit number at a physical address.
    pub fn put_u64(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    /// Where the entry of the last level lies that maps `va`, and the physical address. Large pages have none of their own.
    ///
    /// # Panics
    /// When it is not mapped.
    #[must_use]
    pub fn walk(&self, va: u64) -> (Option<u64>, u64) {
        let mut table = self.root;
        for shift in [39, 30, 21, 12] {
            let at = table + ((va >> shift) & 0x1ff) * 8;
            let entry = self.u64_at(at);
            assert!(entry & bit::VALID != 0, "{va:#x} is not mapped");
            if shift == 12 {
                return (Some(at), entry & FRAME | va & 0xfff);
            }
            if shift < 39 && entry & bit::LARGE != 0 {
                let within = (1u64 << shift) - 1;
                return (None, entry & FRAME & !within | va & within);
            }
            table = entry & FRAME;
        }
        unreachable!("the last level returns")
    }

    /// Whether a page table says where `va` is.
    #[must_use]
    pub fn maps(&self, va: u64) -> bool {
        let mut table = self.root;
        [39, 30, 21, 12].into_iter().all(|shift| {
            let entry = self.u64_at(table + ((va >> shift) & 0x1ff) * 8);
            table = entry & FRAME;
            entry & bit::VALID != 0
        })
    }

    /// The physical address of `va`.
    #[must_use]
    pub fn physical(&self, va: u64) -> u64 {
        self.walk(va).1
    }

    /// Writes bytes within one page of the address space.
    pub fn write(&mut self, va: u64, bytes: &[u8]) {
        let at = self.physical(va);
        self.put(at, bytes);
    }

    /// Makes a page zero.
    pub fn wipe(&mut self, va: u64) {
        let at = self.physical(va) & !0xfff;
        self.put(at, &[0; PAGE as usize]);
    }

    /// A new page behind all others.
    pub fn page(&mut self) -> u64 {
        let at = self.image.len().next_multiple_of(PAGE as usize);
        self.image.resize(at + PAGE as usize, 0);
        at as u64
    }

    /// The first page of zeros from `from` on that no table uses.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn free_page(&self, from: u64) -> u64 {
        (from..self.image.len() as u64 - PAGE)
            .step_by(PAGE as usize)
            .find(|at| self.image[*at as usize..(*at + PAGE) as usize].iter().all(|byte| *byte == 0))
            .expect("a page of zeros")
    }

    /// Which entry of System's table maps the table itself.
    ///
    /// # Panics
    /// When none does.
    #[must_use]
    pub fn self_reference(&self) -> u64 {
        (256..512)
            .find(|slot| {
                let entry = self.u64_at(self.root + slot * 8);
                entry & bit::VALID != 0 && entry & FRAME == self.root
            })
            .expect("a table maps itself")
    }

    /// Page tables of their own that show the page of `va` as it is now, whatever is written to it later, and all else as System's
    /// do. Their root lies at `at`, or behind all memory.
    pub fn decoy(&mut self, va: u64, at: Option<u64>) -> u64 {
        let slot = self.self_reference();
        let copy = |edit: &mut Self, of: u64, to: Option<u64>| {
            let to = to.unwrap_or_else(|| edit.page());
            let bytes = edit.image[of as usize..(of + PAGE) as usize].to_vec();
            edit.put(to, &bytes);
            to
        };
        let root = copy(self, self.root, at);
        self.put_u64(root + slot * 8, root | 0x63);
        let mut table = root;
        for shift in [39, 30, 21, 12] {
            let at = table + ((va >> shift) & 0x1ff) * 8;
            let entry = self.u64_at(at);
            assert!(entry & bit::VALID != 0 && (shift == 12 || entry & bit::LARGE == 0), "{va:#x} is in a small page");
            table = copy(self, entry & FRAME, None);
            self.put_u64(at, entry & !FRAME | table);
        }
        root
    }

    /// Takes every processor start block away.
    pub fn without_stub(&mut self) {
        for at in (0x1000..0x10_0000).step_by(PAGE as usize) {
            if self.image[at] == 0xe9 && self.image[at + 4] == 1 {
                self.put(at as u64, &[0; PAGE as usize]);
            }
        }
    }

    /// Writes a processor start block at `at` that leads to `root` and jumps to `target`.
    pub fn stub(&mut self, at: u64, root: u64, target: u64) {
        self.put_u64(at, 0x0000_0001_0006_4de9);
        self.put_u64(at + 0x70, target);
        self.put_u64(at + 0xa0, root);
    }
}

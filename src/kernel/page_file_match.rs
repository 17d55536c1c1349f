//! Which page file each given file is: by pages that memory knows to be in it and whose content gives itself away, then by name.
//!
//! Names prove little: every machine has a `pagefile.sys`. Two kinds of pages prove more. A process's PEB names the image base
//! that the kernel has in `_EPROCESS.SectionBaseAddress`, and its parameters begin with their size; a bin of a hive begins with
//! `hbin` and its place in the hive.

use super::{Cmhive, Eprocess, Kernel, hive_list, list_both_ways};
use crate::addr::PAGE_BYTES;
use crate::memory::absent::{Given, KernelPageFile};
use crate::memory::{AddressSpace, PageFile, Where};
use crate::symbols::{Field, Stored};
use crate::{Absent, PAGE_SIZE, VirtualAddress, Warning};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Processes that are asked: systems have some hundred, and some dozen pages tell.
const MAX_PROCESSES: usize = 4096;
/// Blocks of one hive that are asked, and hives.
const MAX_BLOCKS: u64 = 512;
const MAX_HIVES: usize = 64;
/// Pages that are looked at in one file.
const MAX_PAGES: usize = 64;
/// Parameters of a process have some KiB.
const MAX_PARAMETERS: u32 = 1 << 20;

/// One page file of the machine, and the file that stands for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PageFileInfo {
    /// Its number in page-table entries.
    pub number: u32,
    /// Its path on the machine, as the kernel has it.
    pub path: Option<String>,
    /// It is the compressed store, which is in memory.
    pub store: bool,
    /// The file that was given for it and is used.
    pub file: Option<String>,
    /// Pages in that file that memory knows something of, and how many of them fit.
    pub checked: usize,
    /// See `checked`.
    pub fit: usize,
}

/// A page that is in a page file, with what is known of its content.
struct Witness {
    number: u32,
    index: u64,
    content: Content,
}

/// What stands at an offset in a page.
enum Content {
    /// A PEB at this offset: three pointers in it, of which the first is known.
    Peb { base: u64, fields: [u64; 3] },
    /// Parameters of a process.
    Parameters { at: u64 },
    /// A bin, which begins so far into its hive.
    Bin { at: u64, offset: u64 },
}

impl Content {
    /// Whether a page has it.
    fn fits(&self, page: &[u8; PAGE_BYTES]) -> bool {
        let u64_at = |at: u64| field::<u64>(page, at);
        let u32_at = |at: u64| field::<u32>(page, at);
        match self {
            Self::Peb { base, fields: [image_base, parameters, ldr] } => {
                let user = |at: u64| u64_at(at).is_none_or(|to| to != 0 && !VirtualAddress(to).is_kernel());
                u64_at(*image_base).is_none_or(|found| found == *base) && user(*parameters) && user(*ldr)
            }
            Self::Parameters { at } => {
                // MaximumLength and Length of all of it (phnt, ntrtl.h).
                let sizes = u32_at(*at).zip(u32_at(at.saturating_add(4)));
                sizes.is_none_or(|(room, length)| length != 0 && length <= room && room <= MAX_PARAMETERS)
            }
            Self::Bin { at, offset } => {
                u32_at(*at) == Some(u32::from_le_bytes(*b"hbin"))
                    && u32_at(at.saturating_add(4)).map(u64::from) == Some(*offset)
            }
        }
    }
}

/// A number in a page. `None`: it is not all in it.
fn field<T: Stored>(page: &[u8], at: u64) -> Option<T> {
    T::decode(page.get(usize::try_from(at).ok()?..)?)
}

impl Kernel<'_> {
    /// The same with copies of the machine's page files, in any order. Which is which is told by their content, and by their names
    /// where that says nothing. A file that is another machine's is not used. What was made of each is in
    /// [`warnings`](Self::warnings) if it is odd, and in [`page_files`](Self::page_files).
    #[must_use]
    pub fn with_page_files(mut self, files: Vec<PageFile>) -> Self {
        if files.is_empty() {
            return self;
        }
        let witnesses = self.witnesses();
        let listed = self.absent.listed(self.space).map(<[KernelPageFile]>::to_vec);
        let mut numbers: Vec<u32> =
            listed.iter().flatten().filter(|file| !file.is_store).map(|file| file.number).collect();
        if listed.is_none() {
            numbers.extend(witnesses.iter().map(|witness| witness.number));
            numbers.sort_unstable();
            numbers.dedup();
        }
        let judged = |file: &PageFile, number: u32| {
            let of_file = || witnesses.iter().filter(move |witness| witness.number == number).take(MAX_PAGES);
            // A page behind the end of the file does not fit.
            let fits = |witness: &Witness| {
                let page = file.page(witness.index.saturating_mul(PAGE_SIZE));
                page.is_ok_and(|page| witness.content.fits(&page))
            };
            let all: Vec<bool> = of_file().map(fits).collect();
            let behind = of_file().filter(|witness| witness.index >= file.len() / PAGE_SIZE).count();
            Judged { checked: all.len(), fit: all.iter().filter(|fits| **fits).count(), behind }
        };
        let named = |file: &PageFile, number: u32| {
            let path = listed.iter().flatten().find(|listed| listed.number == number);
            let path = path.and_then(|listed| listed.path.as_deref());
            // Copies are named after what they are copies of: `host1-pagefile.sys.bin`.
            let name = path.and_then(|path| path.rsplit('\\').next()).filter(|name| !name.is_empty());
            name.is_some_and(|name| file.file_name().to_ascii_lowercase().contains(&name.to_ascii_lowercase()))
        };
        let mut given: Vec<Option<PageFile>> = files.into_iter().map(Some).collect();
        let mut taken: BTreeMap<u32, (PageFile, Judged)> = BTreeMap::new();
        // Best proven first: by content, then by name where content says nothing.
        let mut pairs: Vec<Pair> = Vec::new();
        for (at, file) in given.iter().enumerate() {
            for (number, file) in numbers.iter().copied().zip(std::iter::repeat(file)) {
                let Some(file) = file else { continue };
                let (judged, named) = (judged(file, number), named(file, number));
                pairs.push(Pair { rank: judged.rank(named), at, number, named, judged });
            }
        }
        // Of two copies the one of which more is there.
        pairs.sort_by_key(|pair| (pair.rank, std::cmp::Reverse(pair.judged.fit), pair.at, pair.number));
        for Pair { rank, at, number, judged, .. } in &pairs {
            if *rank <= Rank::Named
                && !taken.contains_key(number)
                && let Some(file) = given.get_mut(*at).and_then(Option::take)
            {
                taken.insert(*number, (file, *judged));
            }
        }
        let left: Vec<u32> = numbers.iter().copied().filter(|number| !taken.contains_key(number)).collect();
        let over: Vec<usize> = (0..given.len()).filter(|at| given.get(*at).is_some_and(Option::is_some)).collect();
        // Of a machine with one page file, one that was given alone is that, whatever its name.
        let is_alone = numbers.len() == 1 && given.len() == 1;
        for at in over.iter().copied() {
            let Some(file) = given.get_mut(at).and_then(Option::take) else { continue };
            let of_this = || pairs.iter().filter(|pair| pair.at == at && left.contains(&pair.number));
            let refuted = of_this().find(|pair| pair.rank == Rank::Refuted && pair.named);
            let refuted = refuted.or_else(|| of_this().find(|pair| pair.rank == Rank::Refuted));
            let unchecked = of_this().find(|pair| pair.rank == Rank::Unchecked);
            let name = file.name().to_owned();
            // It is told by its content, or by its name, that it is one that another file is.
            let mut of_taken = pairs.iter().filter(|pair| pair.at == at && !left.contains(&pair.number));
            // Two files may have each other's names.
            let exchanged = |number: u32| {
                taken.get(&number).is_some_and(|(file, _)| left.iter().any(|number| named(file, *number)))
            };
            let has_others_name =
                left.len() == 1 && pairs.iter().any(|pair| pair.at == at && pair.named && exchanged(pair.number));
            let is_other = |pair: &&Pair| pair.rank == Rank::Proven || pair.named && !exchanged(pair.number);
            let other = of_taken.find(is_other).filter(|_| refuted.is_none());
            if let Some(Pair { number, rank, judged: Judged { checked, fit, .. }, .. }) = other {
                let what = match rank {
                    Rank::Proven => format!("it is another copy of page file {number}"),
                    _ => format!("it has the name of page file {number}, which another file is"),
                };
                let of = format!("Of {checked} pages that memory knows to be in that, {fit} fit it");
                self.warn("page files", format!("{name} is not used: {what}. {of}"));
                continue;
            }
            let message = match (refuted, unchecked) {
                (Some(Pair { number, judged, .. }), _) if judged.behind > 0 && judged.behind == judged.checked => {
                    self.absent.given.insert(*number, Given::Foreign);
                    format!(
                        "{name} is not used: it ends at {} bytes, and all {} pages that memory knows to be in page file {number} lie behind \
                         that: the copy is cut short",
                        file.len(),
                        judged.checked
                    )
                }
                // Page files hold much that is old: one of nothing but zeros is none.
                (Some(Pair { number, .. }), _) if file.is_blank() => {
                    self.absent.given.insert(*number, Given::Foreign);
                    format!("{name} is not used: it holds nothing but zeros, the copy of the page file failed")
                }
                (Some(Pair { number, named, judged, .. }), unchecked) => {
                    if *named || unchecked.is_none() {
                        self.absent.given.insert(*number, Given::Foreign);
                    }
                    format!(
                        "{name} is not used: it is not page file {number} of this machine and this time. Of {} pages that memory knows \
                         to be in that, {} fit",
                        judged.checked, judged.fit
                    )
                }
                (None, Some(Pair { number, judged, .. })) if has_others_name => {
                    taken.insert(*number, (file, *judged));
                    format!(
                        "{name} is taken for page file {number}, the only one left: it and another file have each other's names, and \
                         nothing in it could be checked"
                    )
                }
                (None, Some(Pair { number, judged, .. })) if is_alone => {
                    taken.insert(*number, (file, *judged));
                    format!(
                        "{name} is taken for page file {number}, the only one of the machine: nothing in it could be checked"
                    )
                }
                _ if numbers.is_empty() => format!("{name} is not used: the kernel has no page file that is known"),
                _ => format!(
                    "{name} is not used: neither its content nor its name tells which page file it is. Give it under the name that it \
                     has on the machine"
                ),
            };
            self.warn("page files", message);
        }
        for (number, (file, judged)) in taken {
            if judged.checked == 0 && named(&file, number) {
                self.unchecked.push((number, file.name().to_owned()));
            }
            if let Some(message) = judged.complaint(&file, number) {
                self.warn("page files", message);
            }
            self.page_file_checks.insert(number, (judged.checked, judged.fit));
            self.absent.given.insert(number, Given::File(file));
        }
        self
    }

    /// Files that are taken for page files by their names alone, and supplied something since: what rests on them may be another machine's.
    #[must_use]
    pub fn unchecked_page_files(&self) -> Vec<Warning> {
        let used = self.unchecked.iter().filter(|(number, _)| self.absent.was_used(*number));
        let told = used.map(|(number, name)| {
            let message = format!(
                "{name} is taken for page file {number} by its name: nothing in it could be checked, so that it may be another machine's, \
                 or of another time"
            );
            Warning::new("page files", message)
        });
        told.collect()
    }

    /// The page files that the kernel has, in order of their numbers, and the files that stand for them. Empty: it has none, or they were
    /// not found.
    #[must_use]
    pub fn page_files(&self) -> Vec<PageFileInfo> {
        self.find_page_files().unwrap_or_default()
    }

    /// The same.
    ///
    /// # Errors
    /// They were not found.
    pub fn find_page_files(&self) -> Result<Vec<PageFileInfo>, Absent> {
        let listed = self.absent.listed(self.space);
        let listed = listed.ok_or_else(|| Absent::unreadable("the kernel's list of page files was not found"))?;
        let of = |listed: &KernelPageFile| {
            let (checked, fit) = self.page_file_checks.get(&listed.number).copied().unwrap_or_default();
            let file = match self.absent.given.get(&listed.number) {
                Some(Given::File(file)) => Some(file.name().to_owned()),
                Some(Given::Foreign) | None => None,
            };
            let path = listed.path.as_deref().map(str::to_owned);
            PageFileInfo { number: listed.number, path, store: listed.is_store, file, checked, fit }
        };
        Ok(listed.iter().map(of).collect())
    }

    /// Pages in page files whose content is known.
    fn witnesses(&self) -> Vec<Witness> {
        let mut witnesses = Vec::new();
        let mut add = |space: AddressSpace<'_>, at: VirtualAddress, content: Content| {
            if let Where::PageFile { number, index } = space.resolve(at) {
                witnesses.push(Witness { number, index, content });
            }
        };
        self.witness_processes(&mut add);
        self.witness_hives(&mut add);
        witnesses
    }

    fn witness_processes(&self, add: &mut impl FnMut(AddressSpace<'_>, VirtualAddress, Content)) {
        let (Ok(head), Ok(layout)) = (self.global("PsActiveProcessHead"), &self.layouts.peb) else { return };
        let links = self.layouts.process.links.offset;
        let list = list_both_ways(self.space(), head, MAX_PROCESSES, VirtualAddress::is_kernel);
        for entry in list.entries {
            let process = Eprocess::read(self, entry.wrapping_sub(links));
            let (Some(peb), Ok(space)) = (process.peb().value().copied(), process.space()) else { continue };
            let at = |field: Field<VirtualAddress>| peb.page_offset().saturating_add(field.offset);
            if let Some(base) = process.section_base().value() {
                let fields = [at(layout.image_base), at(layout.parameters), at(layout.ldr)];
                add(space, peb, Content::Peb { base: base.0, fields });
            }
            if let Ok(parameters) = space.read_pointer(peb.wrapping_add(layout.parameters.offset)) {
                add(space, parameters, Content::Parameters { at: parameters.page_offset() });
            }
        }
    }

    fn witness_hives(&self, add: &mut impl FnMut(AddressSpace<'_>, VirtualAddress, Content)) {
        let Ok(list) = hive_list(self) else { return };
        let user = super::registry_process(self).ok().flatten();
        for address in list.entries.into_iter().take(MAX_HIVES) {
            let Ok([stable, _]) = Cmhive::read(self, address).and_then(|hive| hive.storages()) else { continue };
            let blocks = stable.length.as_ref().map_or(0, |length| u64::from(*length) / PAGE_SIZE).min(MAX_BLOCKS);
            for number in 0..blocks {
                let Ok(place) = stable.block(self, number) else { continue };
                // The first block of a storage begins a bin in every build.
                if place.in_bin.is_some_and(|within| within != 0) || place.in_bin.is_none() && number != 0 {
                    continue;
                }
                let space = if place.at.is_kernel() { Some(self.space()) } else { user };
                let content = Content::Bin { at: place.at.page_offset(), offset: number.saturating_mul(PAGE_SIZE) };
                if let Some(space) = space {
                    add(space, place.at, content);
                }
            }
        }
    }
}

/// A given file as one of the page files.
struct Pair {
    rank: Rank,
    /// Which of the given files.
    at: usize,
    number: u32,
    /// It has the name of that page file.
    named: bool,
    judged: Judged,
}

/// What became of the pages of one file, if it were page file number *n*.
#[derive(Clone, Copy)]
struct Judged {
    checked: usize,
    fit: usize,
    /// Of those that do not fit: they lie behind the end of the file.
    behind: usize,
}

/// How well a file stands for a page file, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// More of its content fits than does not.
    Proven,
    /// Nothing in it could be checked, and it has the name.
    Named,
    /// Nothing in it could be checked.
    Unchecked,
    /// Its content does not fit.
    Refuted,
}

impl Judged {
    /// What is wrong with a file that is used all the same.
    fn complaint(&self, file: &PageFile, number: u32) -> Option<String> {
        let Self { checked, fit, behind } = *self;
        let name = file.name();
        let other = checked.saturating_sub(fit).saturating_sub(behind);
        let cut = (behind > 0).then(|| {
            let bytes = file.len();
            format!("ends at {bytes} bytes, and {behind} of {checked} pages that memory knows to be in it lie behind that: the copy is cut short")
        });
        let late = (other > 0).then(|| {
            format!("does not fit in {other} of {checked} pages that memory knows to be in it: it was copied at another time")
        });
        let all: Vec<String> = cut.into_iter().chain(late).collect();
        (!all.is_empty()).then(|| format!("{name} is page file {number}, and {}", all.join("; it ")))
    }

    const fn rank(self, named: bool) -> Rank {
        match self.checked {
            0 if named => Rank::Named,
            0 => Rank::Unchecked,
            // One page of a copy that was cut short may fit by chance: its name decides.
            _ if self.behind > 0 && self.fit == 1 && self.fit == self.checked.saturating_sub(self.behind) => {
                if named {
                    Rank::Named
                } else {
                    Rank::Unchecked
                }
            }
            // A copy that was cut short is proven by what it has.
            checked if self.fit.saturating_mul(2) > checked.saturating_sub(self.behind) => Rank::Proven,
            _ => Rank::Refuted,
        }
    }
}

//! `_PEB` and what hangs on it.

use super::ground::{Ground, is_user, is_user_page};
use super::judge::{Judgement, Tally};
use super::scene::Sample;
use crate::VirtualAddress;
use crate::kernel::layouts::{LdrEntryLayout, LdrLayout, ParametersLayout, PebLayout};
use crate::memory::AddressSpace;
use crate::symbols::Symbols;

/// Programs whose user half is looked at.
const PROCESSES: usize = 12;

/// A process's own address space, and its PEB.
fn pebs<'a, 'm>(ground: Ground<'a, 'm>) -> impl Iterator<Item = (&'a Sample<'m>, AddressSpace<'m>, VirtualAddress)> {
    let peb = move |sample: &'a Sample<'m>| {
        ground.image_base(sample)?;
        Some((sample, ground.space(sample)?, ground.pointer(sample, ground.known.peb)?))
    };
    ground.others().filter_map(peb).take(PROCESSES)
}

/// `_PEB`: the image where the section is mapped, and pointers of the user half.
pub(super) fn peb(ground: Ground<'_, '_>, layout: &PebLayout) -> Judgement {
    let fits = |(sample, space, peb): (&Sample<'_>, AddressSpace<'_>, VirtualAddress)| {
        let read = |offset: u64| space.read_pointer(peb.wrapping_add(offset)).ok();
        let (base, ldr) = (read(layout.image_base.offset)?, read(layout.ldr.offset)?);
        let parameters = read(layout.parameters.offset)?;
        let section = ground.known.section_base.and_then(|at| sample.get::<VirtualAddress>(at));
        Some(section.is_none_or(|section| section == base) && is_user_page(base) && is_user(ldr) && is_user(parameters))
    };
    Tally::of(pebs(ground).map(fits)).judge(2, 60)
}

/// `_RTL_USER_PROCESS_PARAMETERS`: a path that ends in the name of the process, a command line, an environment.
pub(super) fn parameters(ground: Ground<'_, '_>, symbols: &Symbols) -> Option<Judgement> {
    let layout = ParametersLayout::resolve(symbols).ok()?;
    let peb = PebLayout::resolve(symbols).ok()?;
    let fits = |(sample, space, at): (&Sample<'_>, AddressSpace<'_>, VirtualAddress)| {
        let parameters = space.read_pointer(at.wrapping_add(peb.parameters.offset)).ok()?;
        space.read_u64(parameters).ok()?;
        let text = |offset: u64| ground.scene.text(space, parameters.wrapping_add(offset));
        let environment = space.read_pointer(parameters.wrapping_add(layout.environment.offset)).ok()?;
        let size = match layout.environment_size {
            Some(field) => {
                let size = space.read_u64(parameters.wrapping_add(field.offset)).ok()?;
                // Windows bounds neither, but no environment is larger than this or no whole number of characters.
                (4..1 << 20).contains(&size) && size.is_multiple_of(2)
            }
            None => true,
        };
        let name = ground.name(sample)?;
        let path = text(layout.image_path.offset).unwrap_or_default().to_ascii_lowercase();
        let file = path.rsplit('\\').next().unwrap_or_default();
        // The short name is cut at 14 characters.
        Some(file.starts_with(&name) && text(layout.command_line.offset).is_some() && is_user(environment) && size)
    };
    Some(Tally::of(pebs(ground).map(fits)).judge(2, 60))
}

/// `_PEB_LDR_DATA` and `_LDR_DATA_TABLE_ENTRY`: the first module is the image, and its file name is the end of its path.
pub(super) fn modules(ground: Ground<'_, '_>, symbols: &Symbols) -> Option<Judgement> {
    let (ldr, entry) = (LdrLayout::resolve(symbols).ok()?, LdrEntryLayout::resolve(symbols).ok()?);
    let peb = PebLayout::resolve(symbols).ok()?;
    let fits = |(_, space, at): (&Sample<'_>, AddressSpace<'_>, VirtualAddress)| {
        let read = |at: VirtualAddress| space.read_pointer(at).ok();
        let data = read(at.wrapping_add(peb.ldr.offset)).filter(|data| is_user(*data))?;
        let head = data.wrapping_add(ldr.load_order.offset);
        let first = read(head)?;
        let back = read(first.wrapping_add(8))?;
        let module = first.wrapping_sub(entry.load_order.offset);
        let base = read(module.wrapping_add(entry.base.offset))?;
        let size = space.read_u32(module.wrapping_add(entry.image_size.offset)).ok()?;
        let text = |offset: u64| ground.scene.text(space, module.wrapping_add(offset));
        let names = text(entry.full_name.offset).zip(text(entry.base_name.offset));
        let image = read(at.wrapping_add(peb.image_base.offset))?;
        let named = names.is_some_and(|(full, name)| full.ends_with(&name));
        Some(back == head && base == image && size > 0 && size & 0xfff == 0 && named)
    };
    Some(Tally::of(pebs(ground).map(fits)).judge(2, 60))
}

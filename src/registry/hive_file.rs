//! The pages of a hive's file that are in memory: by the control area that the file has as data, and by the cache manager's views.
//!
//! A hive that is mapped is its file, but for pages that were written to since: those are the process Registry's own. So a page of
//! the file stands for one of the hive only where that process has truly lost it, and the hive does not say that it was written to.

use super::cells::{BLOCK, FILE_HEADER};
use crate::PAGE_SIZE;
use crate::addr::PAGE_BYTES;
use crate::kernel::{CachedFile, Cmhive, Kernel, file_of_area};
use crate::location::Location;
use crate::memory::{AddressSpace, Where};
use crate::{Absent, Origin, VirtualAddress};

/// What begins every bin.
const BIN: [u8; 4] = *b"hbin";

/// The file of a hive, as far as it is in memory.
#[derive(Debug)]
pub(super) struct HiveFile {
    area: Option<VirtualAddress>,
    cached: Option<CachedFile>,
}

/// Where one page of the file is.
#[derive(Clone, Debug)]
pub(super) struct FilePage {
    way: Way,
    /// The hive says that the page was not written to since. Otherwise it does not say.
    pub proven: bool,
}

#[derive(Clone, Debug)]
enum Way {
    /// In its section. The address is the page's offset in the file.
    Section(VirtualAddress, Where),
    /// In a view of the cache manager.
    View(VirtualAddress),
}

impl FilePage {
    /// Reads from `within` the page.
    pub(super) fn read(&self, space: AddressSpace<'_>, within: u64, buf: &mut [u8]) -> Result<(), Absent> {
        match &self.way {
            Way::Section(at, place) => {
                let place = moved(place, within);
                space.read_place(at.wrapping_add(within), &place, buf).1.map_or(Ok(()), |fault| Err(fault.into()))
            }
            Way::View(at) => Ok(space.read(at.wrapping_add(within), buf)?),
        }
    }

    /// Where `within` the page lies: in memory, and in a view of the cache manager if that supplied it.
    pub(super) fn locate(
        &self,
        space: AddressSpace<'_>,
        structure: &'static str,
        field: &'static str,
        within: u64,
    ) -> Location {
        let from = Some(Origin::FileCache);
        match &self.way {
            Way::Section(at, place) => {
                let (physical, _) = space.place_of(at.wrapping_add(within), &moved(place, within));
                let file_offset = physical.and_then(|physical| space.memory().file_offset(physical));
                let (structure, field) = (structure.into(), field.into());
                Location { structure, field, physical, file_offset, from, ..Location::default() }
            }
            Way::View(at) => Location { from, ..space.locate(structure, field, at.wrapping_add(within)) },
        }
    }
}

/// The place so many bytes further on in the same page.
fn moved(place: &Where, within: u64) -> Where {
    match place {
        Where::Prototype(at) => Where::Prototype(at.wrapping_add(within)),
        other => other.clone(),
    }
}

impl HiveFile {
    /// Finds the file of `cmhive`: by the handle to its section, by the handle to its file or by its file object, and by the VAD of
    /// the process Registry that has `view`. All that are there must lead to one control area, of a file with the hive's name.
    pub(super) fn find(
        kernel: &Kernel<'_>,
        cmhive: &Cmhive<'_>,
        view: Option<(AddressSpace<'_>, VirtualAddress)>,
    ) -> Result<Self, Absent> {
        let mut first = None;
        let mut areas: Vec<(&str, VirtualAddress)> = Vec::new();
        let mut cached: Option<CachedFile> = None;
        let mut take = |source, found: Result<Option<VirtualAddress>, Absent>| match found {
            Ok(area) => areas.extend(area.map(|area| (source, area))),
            Err(why) => _ = first.get_or_insert(why),
        };
        take("its section", cmhive.section_area());
        take("the VAD of its view", Ok(view.and_then(|(space, at)| space.control_area_at(at))));
        let own = cmhive.file().and_then(|file| CachedFile::of(kernel, file));
        match own {
            Ok(file) => {
                take("its file", Ok(file.data));
                cached = Some(file);
            }
            Err(why) => take("its file", Err(why)),
        }
        if let Some((_, area)) = areas.first() {
            // The control area names its file, which leads to the cache manager too.
            let file = file_of_area(kernel, *area).and_then(|file| CachedFile::of(kernel, file));
            cached = cached.or_else(|| file.ok());
        }
        let area = areas.first().map(|(_, area)| *area);
        if let Some(((one, area), (other, another))) =
            areas.first().zip(areas.iter().find(|(_, found)| Some(*found) != area))
        {
            return Err(Absent::unparsable(format!(
                "{one} leads to the control area at {area}, {other} to that at {another}"
            )));
        }
        let path = cmhive.file_full_path().value().cloned().or_else(|| cmhive.file_user_name().value().cloned());
        if let (Some(path), Some(file)) = (path, &cached)
            && !last(&path).eq_ignore_ascii_case(last(&file.name))
        {
            return Err(Absent::unparsable(format!("the hive is of {path}, and the file there is {}", file.name)));
        }
        if area.is_none() && cached.as_ref().is_none_or(|file| file.cache_map.is_none()) {
            return Err(first.unwrap_or_else(|| Absent::unreadable("nothing leads to its file")));
        }
        Ok(Self { area, cached })
    }

    /// The page with the block of this number, which the hive says begins a bin (`begins`) or does not. Where both the section and a
    /// view of the cache manager have it, they must agree.
    pub(super) fn page(
        &self,
        kernel: &Kernel<'_>,
        number: u32,
        begins: bool,
        proven: bool,
    ) -> Result<FilePage, Absent> {
        let header = u64::try_from(FILE_HEADER).unwrap_or(PAGE_SIZE);
        let offset = u64::from(number).saturating_mul(u64::from(BLOCK)).saturating_add(header);
        let space = kernel.space();
        let at = VirtualAddress(offset);
        let section = self.area.map(|area| Way::Section(at, space.resolve_file_page(area, offset / PAGE_SIZE, at)));
        let view = self.cached.as_ref().and_then(|file| file.cached(kernel, offset).ok().flatten()).map(Way::View);
        let mut found: Option<(FilePage, [u8; PAGE_BYTES])> = None;
        let mut missing = None;
        for way in [section, view].into_iter().flatten() {
            let page = FilePage { way, proven };
            let mut bytes = [0u8; PAGE_BYTES];
            match (page.read(space, 0, &mut bytes), &found) {
                (Ok(()), None) => found = Some((page, bytes)),
                (Ok(()), Some((_, other))) if *other != bytes => {
                    return Err(Absent::unparsable("its section and the cache manager's view of it differ there"));
                }
                (Ok(()), Some(_)) => (),
                (Err(why), _) => missing = missing.or(Some(why)),
            }
        }
        let Some((page, bytes)) = found else {
            return Err(missing.unwrap_or_else(|| Absent::unreadable("no control area and no view leads to the page")));
        };
        // A bin says where in its hive it is.
        let told = bytes.get(4..8).and_then(<[u8]>::first_chunk).map(|told| u32::from_le_bytes(*told));
        if begins && (!bytes.starts_with(&BIN) || told != Some(number.saturating_mul(BLOCK))) {
            return Err(Absent::unparsable("the page there is no bin of this hive"));
        }
        Ok(page)
    }
}

/// The last part of a path.
fn last(path: &str) -> &str {
    path.rsplit('\\').next().unwrap_or_default()
}

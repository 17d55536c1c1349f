//! What backs a process: section, control area, file object.

use crate::machine::{Machine, utf16z};
use crate::shared_pages::IMAGE_PARTS;
use std::collections::BTreeMap;

/// Files by path, so that two processes of one program share one control area.
#[derive(Clone, Debug, Default)]
pub struct Files {
    known: BTreeMap<String, (u64, u64)>,
    /// By name: `HarddiskVolume3`.
    devices: BTreeMap<String, u64>,
}

impl Machine {
    /// A file object for a path below the volume.
    pub fn file_object(&mut self, files: &mut Files, path: &str) -> u64 {
        let own = self.plan.volume.rsplit('\\').next().unwrap_or("").to_owned();
        let mut parts = path.strip_prefix(r"\Device\").into_iter().flat_map(|rest| rest.split('\\'));
        let volume = parts.next().map_or(own, str::to_owned);
        let device = match files.devices.get(&volume) {
            Some(&device) => device,
            None => self.forge_device(&volume),
        };
        files.devices.insert(volume, device);
        let relative = path.strip_prefix(self.plan.volume.as_str()).unwrap_or(path).to_owned();
        let file = self.object("File", self.layout.size("_FILE_OBJECT"), None);
        self.put(file, "_FILE_OBJECT", "Type", 5);
        self.put(file, "_FILE_OBJECT", "Size", self.layout.size("_FILE_OBJECT"));
        self.put(file, "_FILE_OBJECT", "DeviceObject", device);
        for field in ["ReadAccess", "SharedRead", "SharedDelete"] {
            self.put(file, "_FILE_OBJECT", field, 1);
        }
        self.put(file, "_FILE_OBJECT", "Flags", 0x4_4042);
        let text = utf16z(&relative);
        let buffer = self.pool(true, b"IoNm", text.len() as u64);
        let at = file + self.offset("_FILE_OBJECT", "FileName");
        self.put_string(at, &relative, buffer);
        file
    }

    /// An image's file object, and a control area that points to it. `pages` of the image, if its section has prototype entries.
    pub fn forge_file(&mut self, files: &mut Files, path: &str, pages: u64) -> (u64, u64) {
        if let Some(&known) = files.known.get(path) {
            return known;
        }
        let file = self.file_object(files, path);
        let sections = self.plan.pages.sections;
        let parts = if sections { IMAGE_PARTS } else { 1 };
        let area = self.control_area(parts, if sections { 0 } else { 0x80 });
        // Image, File (`_MMSECTION_FLAGS`).
        self.put(area, "_CONTROL_AREA", "u.Flags.Image", 1);
        self.put(area, "_CONTROL_AREA", "u.Flags.File", 1);
        // An EX_FAST_REF: the low four bits count.
        self.put(area, "_CONTROL_AREA", "FilePointer", file | 0xf);
        if sections {
            self.forge_prototypes(area, &[1, pages - 3, 1, 1], true, true);
        } else {
            let segment = self.read_u64(area + self.offset("_CONTROL_AREA", "Segment"));
            self.put(segment, "_SEGMENT", "TotalNumberOfPtes", 0x20);
            self.put(segment, "_SEGMENT", "SizeOfSegment", 0x2_0000);
            let subsection = area + self.layout.size("_CONTROL_AREA");
            self.put(subsection, "_SUBSECTION", "ControlArea", area);
            self.put(subsection, "_SUBSECTION", "PtesInSubsection", 0x20);
        }
        self.section_pointers(file, "ImageSectionObject", area);
        files.known.insert(path.to_owned(), (file, area));
        (file, area)
    }

    /// A data file's object, and a control area with subsections of so many pages each.
    pub fn forge_data_file(&mut self, files: &mut Files, path: &str, parts: &[u64]) -> (u64, u64) {
        let file = self.file_object(files, path);
        let area = self.control_area(1, 0);
        self.put(area, "_CONTROL_AREA", "u.Flags.File", 1);
        self.put(area, "_CONTROL_AREA", "FilePointer", file | 0xf);
        self.forge_prototypes(area, parts, false, true);
        self.section_pointers(file, "DataSectionObject", area);
        (file, area)
    }

    /// The control area of a section without a file.
    pub fn forge_fileless(&mut self, pages: u64) -> (u64, u64) {
        let area = self.control_area(1, 0);
        self.forge_prototypes(area, &[pages], false, false);
        (0, area)
    }

    /// A control area with room for so many subsections behind it, and its segment with so many bytes behind it.
    fn control_area(&mut self, subsections: u64, behind: u64) -> u64 {
        let bytes = self.layout.size("_CONTROL_AREA") + subsections * self.layout.size("_SUBSECTION");
        let area = self.pool(false, b"MmCa", bytes);
        let segment = self.pool(true, b"MmSt", self.layout.size("_SEGMENT") + behind);
        self.put(area, "_CONTROL_AREA", "Segment", segment);
        self.put(area, "_CONTROL_AREA", "NumberOfSectionReferences", 1);
        self.put(area, "_CONTROL_AREA", "NumberOfMappedViews", 1);
        if let Some(list) = self.layout.find("_CONTROL_AREA", "ListHead") {
            self.link(&[area + list.offset]);
        }
        self.put(segment, "_SEGMENT", "ControlArea", area);
        area
    }

    /// `_SECTION_OBJECT_POINTERS` of a file.
    fn section_pointers(&mut self, file: u64, field: &str, area: u64) {
        let pointers = self.pool(false, b"Sect", 0x18);
        self.put(pointers, "_SECTION_OBJECT_POINTERS", field, area);
        self.put(file, "_FILE_OBJECT", "SectionObjectPointer", pointers);
    }

    /// The cache manager's map in a file's `_SECTION_OBJECT_POINTERS`.
    pub(crate) fn set_cache_map(&mut self, file: u64, map: u64) {
        let pointers = self.read_u64(file + self.offset("_FILE_OBJECT", "SectionObjectPointer"));
        self.put(pointers, "_SECTION_OBJECT_POINTERS", "SharedCacheMap", map);
    }

    fn forge_device(&mut self, volume: &str) -> u64 {
        let device = self.pool(false, b"Devi", self.layout.size("_DEVICE_OBJECT") + 0xa0);
        // Named objects are found by their name info; the volume's device has one before its header.
        let start = device + 0x50;
        self.put(start, "_DEVICE_OBJECT", "Type", 3);
        self.put(start, "_DEVICE_OBJECT", "Size", 0x150);
        self.put(start, "_DEVICE_OBJECT", "DeviceType", 7);
        let header = start - 0x30;
        self.put(header, "_OBJECT_HEADER", "PointerCount", 10);
        self.maybe(header, "_OBJECT_HEADER", "InfoMask", 2);
        self.maybe(header, "_OBJECT_HEADER", "NameInfoOffset", 0x20);
        let buffer = self.pool(true, b"ObNm", volume.len() as u64 * 2 + 2);
        let name = header - 0x20 + self.offset("_OBJECT_HEADER_NAME_INFO", "Name");
        self.put_string(name, volume, buffer);
        start
    }

    /// A section object over a control area.
    pub fn forge_section(&mut self, area: u64) -> u64 {
        if self.layout.types.contains_key("_SECTION_OBJECT") && !self.layout.types.contains_key("_SECTION") {
            // Windows 7 and 8: the section points to a segment, that to the control area.
            let section = self.object("Section", self.layout.size("_SECTION_OBJECT") + 0x10, None);
            let segment = self.read_u64(area + self.offset("_CONTROL_AREA", "Segment"));
            self.put(section, "_SECTION_OBJECT", "Segment", segment);
            return section;
        }
        let section = self.object("Section", self.layout.size("_SECTION"), None);
        self.put(section, "_SECTION", "u1.ControlArea", area);
        self.put(section, "_SECTION", "SizeOfSection", 0x2_0000);
        self.put(section, "_SECTION", "u.LongFlags", 0xa0);
        section
    }
}

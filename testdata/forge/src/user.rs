//! User memory of a process: PEB, parameters, environment, loader lists, module headers.

use crate::builds::Build;
use crate::machine::{Machine, USER_CODE, USER_DATA, utf16z};
use crate::page_plan::{BULK, Form};
use crate::paging::{Space, bit};
use crate::pe;
use crate::physical::PAGE;
use crate::rng::Rng;
use crate::scenario::{Paged, Private, Proc, UserPlan};
use crate::shared_data::USER_VIEW;
use std::collections::BTreeMap;

/// A growing piece of user memory.
struct Arena {
    next: u64,
}

/// What a process got.
#[derive(Clone, Debug)]
pub struct UserMemory {
    /// Address of the `_PEB`.
    pub peb: u64,
    /// Where modules lie: path, base, size.
    pub modules: Vec<(String, u64, u64)>,
    /// Modules in no loader list.
    pub unlisted: Vec<(String, u64, u64)>,
    /// Private memory: first address, bytes, protection.
    pub private: Vec<(u64, u64, u8)>,
    /// Which of it is a section without a file instead.
    pub shared: Vec<u64>,
    /// Frames of the images' pages as the sections have them, by address.
    pub frames: BTreeMap<u64, u64>,
}

/// `SizeOfImage` of every program.
pub const IMAGE_BYTES: u64 = 0x2_6000;
/// Where the page with the entry point begins in every image.
pub const ENTRY_PAGE: u64 = 0x1000;
/// `SizeOfImage` of every library.
pub const LIBRARY_BYTES: u64 = 0x1f_8000;

/// So many bytes, in whole pages.
fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE)
}

/// Where libraries begin; ntdll is the first.
pub fn library_base(build: Build) -> u64 {
    if build <= Build::W8_9200 { 0x7_7b00_0000 } else { 0x7ffb_5a00_0000 }
}

/// Where the 32-bit PEB of a process lies.
pub fn wow64_peb(pid: u64) -> u64 {
    0x7e_f000 + pid % 16 * PAGE
}

impl Machine {
    fn grow(&mut self, space: &mut Space, arena: &mut Arena, bytes: u64) -> u64 {
        let at = arena.next.next_multiple_of(16);
        arena.next = at + bytes;
        let mut page = at & !(PAGE - 1);
        while page < arena.next {
            if space.frame_of(page).is_none() {
                let frame = self.memory.take();
                space.map(&mut self.memory, page, frame, USER_DATA);
            }
            page += PAGE;
        }
        at
    }

    fn user_string(&mut self, space: &mut Space, arena: &mut Arena, field: u64, text: &str) {
        let bytes = utf16z(text);
        let buffer = self.grow(space, arena, bytes.len() as u64);
        space.write(&mut self.memory, buffer, &bytes);
        let len = bytes.len() as u64 - 2;
        self.put_in(space, field, "_UNICODE_STRING", "Length", len);
        self.put_in(space, field, "_UNICODE_STRING", "MaximumLength", len + 2);
        self.put_in(space, field, "_UNICODE_STRING", "Buffer", buffer);
    }

    /// Fills the user half of a process.
    pub fn forge_user(&mut self, space: &mut Space, proc: &Proc, plan: &UserPlan) -> UserMemory {
        let shared = self.shared_data;
        let read_only = USER_DATA & !bit::WRITE;
        space.map(&mut self.memory, USER_VIEW, shared, read_only);
        let mut noise = Rng::new(self.plan.seed ^ proc.pid.wrapping_mul(0x9e37) ^ proc.created.0);
        let old = self.build() <= Build::W8_9200;
        // Windows 7 puts PEBs right below the user limit; later they are anywhere in the lower terabyte.
        let peb = if old {
            0x7ff_fff0_0000 + noise.below(0xd0) * PAGE + 0x3000
        } else {
            0x10_0000_0000 + noise.below(0xe00) * 0x1000_0000 + noise.below(0x60) * 0x10_0000
        };
        let heap = if old { 0x1b_0000 + noise.below(0x10) * 0x1_0000 } else { peb + 0x40_0000 };
        let mut arena = Arena { next: heap };
        let mut page = Arena { next: peb };
        self.grow(space, &mut page, self.layout.size("_PEB").min(PAGE));
        let modules = self.place_modules(&plan.modules, plan.image_base, 0);
        self.forge_parameters(space, &mut arena, peb, plan);
        self.forge_loader_lists(space, &mut arena, peb, &modules);
        self.put_in(space, peb, "_PEB", "ImageBaseAddress", plan.image_base);
        self.put_in(space, peb, "_PEB", "SessionId", u64::from(proc.session.unwrap_or(0)));
        let (major, minor) = self.layout.version();
        self.put_in(space, peb, "_PEB", "OSMajorVersion", u64::from(major));
        self.put_in(space, peb, "_PEB", "OSMinorVersion", u64::from(minor));
        self.put_in(space, peb, "_PEB", "OSBuildNumber", u64::from(self.layout.number) & 0xffff);
        self.put_in(space, peb, "_PEB", "OSPlatformId", 2);
        self.put_in(space, peb, "_PEB", "NumberOfProcessors", u64::from(self.plan.processors));
        self.put_in(space, peb, "_PEB", "ProcessHeap", heap & !0xffff);
        for (n, (path, base, size)) in modules.iter().enumerate() {
            self.map_module(space, path, *base, *size, n == 0);
        }
        let mut private = vec![(USER_VIEW, PAGE, 1), (peb, PAGE, 4), (heap, pages(arena.next - heap), 4)];
        for piece in &plan.private {
            self.forge_private(space, piece);
            private.push((piece.start, pages(piece.bytes.len() as u64), piece.protection));
        }
        if proc.pid == BULK.0 && self.plan.pages.bulk > 0 {
            private.push((BULK.1, self.forge_bulk(space), 4));
        }
        let unlisted = self.place_modules(&plan.unlisted, plan.image_base, 1);
        for (path, base, size) in &unlisted {
            self.map_module(space, path, *base, *size, false);
        }
        if proc.wow64 {
            self.forge_wow64_peb(space, proc, plan);
        }
        self.page_out(space, peb, plan.peb);
        self.later_tables.push((space.root, peb, plan.peb_table));
        for page in (heap..arena.next).step_by(PAGE as usize) {
            self.page_out(space, page, plan.parameters);
        }
        let all = || modules.iter().chain(&unlisted);
        let mut frames: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, base, _) in all() {
            let pages = [*base, base + ENTRY_PAGE];
            frames.extend(pages.into_iter().filter_map(|page| Some((page, space.frame_of(page)?))));
        }
        let is_edited = |at: u64| plan.edits.iter().any(|edit| modules[edit.module].1 + edit.page == at);
        for (_, base, _) in all().skip(1).filter(|(_, base, _)| !is_edited(*base)) {
            self.page_out(space, *base, plan.libraries);
        }
        if !matches!(plan.image, Paged::Present | Paged::Section(..)) && !is_edited(plan.image_base) {
            self.own_page(space, plan.image_base, USER_CODE, &[]);
        }
        if !is_edited(plan.image_base) {
            self.page_out(space, plan.image_base, plan.image);
        }
        for edit in &plan.edits {
            let at = modules[edit.module].1 + edit.page;
            let rights = if edit.page == 0 { USER_CODE | bit::NO_EXECUTE } else { USER_CODE };
            self.own_page(space, at, rights, &[(edit.at, &edit.bytes)]);
            self.page_out(space, at, edit.state);
        }
        let shared = [(peb, plan.peb), (heap, plan.parameters)];
        let shared = shared.into_iter().filter(|(_, state)| matches!(state, Paged::Section(..))).map(|(at, _)| at);
        UserMemory { peb, modules, unlisted, private, shared: shared.collect(), frames }
    }

    /// Gives a process a page of its own in the place of one that others have too, with these bytes written over.
    fn own_page(&mut self, space: &mut Space, at: u64, rights: u64, edits: &[(usize, &[u8])]) {
        let bytes = space.read(&mut self.memory, at, 4096);
        let frame = self.memory.take();
        self.memory.frame(frame).copy_from_slice(&bytes);
        for (at, bytes) in edits {
            self.memory.frame(frame)[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        space.map(&mut self.memory, at, frame, rights);
    }

    /// Many pages that are in the compressed store; says how many bytes they have.
    fn forge_bulk(&mut self, space: &mut Space) -> u64 {
        let count = self.plan.pages.bulk;
        let mut noise = Rng::new(self.plan.seed ^ 0x6275_6c6b);
        // One frame after the other: what is in the store needs none.
        let frame = self.memory.take();
        for n in 0..count {
            // Half of it repeats, as in heaps.
            let words: Vec<u64> = (0..64).map(|_| noise.next_u64()).collect();
            for (at, word) in self.memory.frame(frame).chunks_exact_mut(8).enumerate() {
                let value = if at % 8 < 4 { words[at / 8] >> 40 } else { n << 12 | BULK.1 };
                word.copy_from_slice(&value.to_le_bytes());
            }
            let va = BULK.1 + n * PAGE;
            space.map(&mut self.memory, va, frame, USER_DATA);
            self.page_out(space, va, Paged::Stored(Form::Packed));
        }
        count * PAGE
    }

    fn forge_private(&mut self, space: &mut Space, piece: &Private) {
        let execute = if piece.protection == 6 { bit::NO_EXECUTE } else { 0 };
        for n in 0..pages(piece.bytes.len() as u64) / PAGE {
            let frame = self.memory.take();
            space.map(&mut self.memory, piece.start + n * PAGE, frame, USER_DATA & !execute);
        }
        space.write(&mut self.memory, piece.start, &piece.bytes);
    }

    /// Gives every module a place: the image where the plan says, libraries where all processes have them, as since Windows Vista.
    fn place_modules(&mut self, paths: &[String], image_base: u64, from: usize) -> Vec<(String, u64, u64)> {
        let mut out = Vec::new();
        for (n, path) in (from..).zip(paths) {
            if n == 0 {
                out.push((path.clone(), image_base, IMAGE_BYTES));
                continue;
            }
            let name = path.rsplit('\\').next().unwrap_or(path).to_ascii_lowercase();
            let count = self.libraries.len() as u64;
            let base = library_base(self.build());
            let at = *self.libraries.entry(name).or_insert(base + count * 0x23_0000);
            out.push((path.clone(), at, LIBRARY_BYTES));
        }
        out
    }

    fn map_module(&mut self, space: &mut Space, path: &str, base: u64, size: u64, image: bool) {
        let native = image && path.to_ascii_lowercase().ends_with("smss.exe") || path.ends_with("autochk.exe");
        let key = (path.to_ascii_lowercase(), base);
        let frame = self.shared_images.get(&key).copied().unwrap_or_else(|| {
            let headers = pe::Image {
                base,
                size: size as u32,
                entry: 0x1000,
                stamp: 0x6012_3456,
                subsystem: if native { 1 } else { 2 },
                dll: !image,
                directories: vec![],
                sections: vec![
                    (".text", 0x1000, size as u32 - 0x3000, pe::CODE),
                    (".rdata", size as u32 - 0x2000, 0x1000, pe::READ_ONLY),
                    (".data", size as u32 - 0x1000, 0x1000, pe::DATA),
                ],
            }
            .headers();
            let frame = self.memory.take();
            self.memory.frame(frame).copy_from_slice(&headers);
            frame
        });
        self.shared_images.insert(key, frame);
        space.map(&mut self.memory, base, frame, USER_CODE | bit::NO_EXECUTE);
        if self.plan.entries {
            self.map_entry_page(space, path, base);
        }
    }

    /// The page with the entry point of a module: code, and two addresses in it.
    fn map_entry_page(&mut self, space: &mut Space, path: &str, base: u64) {
        let name = path.to_ascii_lowercase();
        let at = base + ENTRY_PAGE;
        let key = (name.clone(), at);
        let frame = self.shared_images.get(&key).copied().unwrap_or_else(|| {
            // The same wherever the image is, but for the addresses.
            let seed = name
                .bytes()
                .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
            let mut noise = Rng::new(seed);
            let frame = self.memory.take();
            let page = self.memory.frame(frame);
            page.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&noise.next_u64().to_le_bytes()));
            for place in [0x120, 0xe45] {
                page[place..place + 8].copy_from_slice(&(base + 0x2345).to_le_bytes());
            }
            frame
        });
        self.shared_images.insert(key, frame);
        space.map(&mut self.memory, at, frame, USER_CODE);
    }

    /// The 32-bit PEB of a process that runs 32-bit code.
    fn forge_wow64_peb(&mut self, space: &mut Space, proc: &Proc, plan: &UserPlan) {
        let at = wow64_peb(proc.pid);
        let frame = self.memory.take();
        space.map(&mut self.memory, at, frame, USER_DATA);
        self.put_in(space, at, "_PEB32", "ImageBaseAddress", plan.image_base & 0xffff_ffff);
        self.put_in(space, at, "_PEB32", "SessionId", u64::from(proc.session.unwrap_or(0)));
    }

    fn forge_parameters(&mut self, space: &mut Space, arena: &mut Arena, peb: u64, plan: &UserPlan) {
        let kind = "_RTL_USER_PROCESS_PARAMETERS";
        let size = self.layout.size(kind);
        let at = self.grow(space, arena, size);
        self.put_in(space, peb, "_PEB", "ProcessParameters", at);
        self.put_in(space, at, kind, "MaximumLength", 0x1000);
        self.put_in(space, at, kind, "Length", 0x1000);
        // Normalised: pointers are addresses.
        self.put_in(space, at, kind, "Flags", 1);
        let directory = format!("{}\\", self.plan.system_root.clone() + "\\system32");
        let image_directory = plan.modules.first().map_or("", |m| m.rsplit_once('\\').map_or("", |x| x.0)).to_owned();
        for (field, text) in [
            ("CurrentDirectory.DosPath", directory.as_str()),
            ("DllPath", image_directory.as_str()),
            ("ImagePathName", plan.path.as_str()),
            ("CommandLine", plan.command_line.as_str()),
            ("WindowTitle", plan.path.as_str()),
            ("DesktopInfo", r"WinSta0\Default"),
        ] {
            let place = at + self.offset(kind, field);
            self.user_string(space, arena, place, text);
        }
        // NAME=value, each with a zero, and one more zero.
        let mut block: Vec<u8> = plan.environment.iter().flat_map(|e| utf16z(e)).collect();
        block.extend_from_slice(&[0, 0]);
        let buffer = self.grow(space, arena, block.len() as u64);
        space.write(&mut self.memory, buffer, &block);
        self.put_in(space, at, kind, "Environment", buffer);
        self.maybe_in(space, at, kind, "EnvironmentSize", block.len() as u64);
    }

    fn forge_loader_lists(&mut self, space: &mut Space, arena: &mut Arena, peb: u64, modules: &[(String, u64, u64)]) {
        let (head_kind, kind) = ("_PEB_LDR_DATA", "_LDR_DATA_TABLE_ENTRY");
        let head = self.grow(space, arena, self.layout.size(head_kind));
        self.put_in(space, peb, "_PEB", "Ldr", head);
        self.put_in(space, head, head_kind, "Length", self.layout.size(head_kind));
        self.put_in(space, head, head_kind, "Initialized", 1);
        let mut entries = Vec::new();
        for (path, base, size) in modules {
            let entry = self.grow(space, arena, self.layout.size(kind));
            self.put_in(space, entry, kind, "DllBase", *base);
            self.put_in(space, entry, kind, "EntryPoint", base + 0x1000);
            self.put_in(space, entry, kind, "SizeOfImage", *size);
            let full = entry + self.offset(kind, "FullDllName");
            self.user_string(space, arena, full, path);
            let name = entry + self.offset(kind, "BaseDllName");
            self.user_string(space, arena, name, path.rsplit('\\').next().unwrap_or(path));
            entries.push(entry);
        }
        for (list, link, from) in [
            ("InLoadOrderModuleList", "InLoadOrderLinks", 0),
            ("InMemoryOrderModuleList", "InMemoryOrderLinks", 0),
            // The image itself is not in initialisation order.
            ("InInitializationOrderModuleList", "InInitializationOrderLinks", 1),
        ] {
            let link = self.offset(kind, link);
            let mut ring = vec![head + self.offset(head_kind, list)];
            ring.extend(entries.iter().skip(from).map(|e| e + link));
            for (i, &at) in ring.iter().enumerate() {
                let next = ring[(i + 1) % ring.len()];
                space.write(&mut self.memory, at, &next.to_le_bytes());
                space.write(&mut self.memory, next + 8, &at.to_le_bytes());
            }
        }
    }
}

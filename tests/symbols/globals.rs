//! Globals found in the image itself, without symbols for them, held against where they are.

use crate::common;
use crate::common::forged::Opened;
use ntmem::discover::{FoundGlobals, Origin, confirm, infer};
use ntmem::kernel::{Layouts, ObjectTypes};
use ntmem::symbols::{SymbolStore, builds};
use ntmem::{MemoryImage, VirtualAddress};
use ntmem_forge::{Build, DumpType, Forged, KernelPages, Paged, Scenario};
use std::sync::atomic::Ordering;

/// What every machine's readers start from.
const NEEDED: [&str; 11] = [
    "CmpHiveListHead",
    "KdDebuggerDataBlock",
    "MmPhysicalMemoryBlock",
    "NtBuildLab",
    "NtBuildLabEx",
    "NtBuildNumber",
    "ObTypeIndexTable",
    "PsActiveProcessHead",
    "PsInitialSystemProcess",
    "PsLoadedModuleList",
    "PspCidTable",
];

fn found_in(forged: &Forged, bytes: Vec<u8>) -> FoundGlobals {
    Opened::with_bytes(forged, bytes).kernel().globals_in_image()
}

/// Every address is the true one, and these are all there.
fn assert_true(what: &str, found: &FoundGlobals, forged: &Forged, needed: &[&str]) {
    for (name, global) in &found.globals {
        assert_eq!(Some(&global.address.0), forged.globals.get(*name), "{what}: {name} by {:?}", global.origins);
        assert!(!global.origins.is_empty(), "{what}: {name}");
    }
    for name in needed {
        assert!(found.globals.contains_key(name), "{what}: {name} is not found");
    }
    assert_eq!(found.warnings, [], "{what}");
}

fn origins<'f>(found: &'f FoundGlobals, name: &str) -> &'f [Origin] {
    &found.globals[name].origins
}

/// Where these bytes stand in the image, which is once.
fn place(bytes: &[u8], of: &[u8]) -> usize {
    let mut places = bytes.windows(of.len()).enumerate().filter(|(_, window)| *window == of);
    let (at, _) = places.next().expect("the bytes are in the image");
    assert!(places.next().is_none(), "{:?} stands twice", String::from_utf8_lossy(of));
    at
}

/// The image without the names of what the kernel exports, so that nothing is found by them.
fn without_exports(forged: &Forged) -> Vec<u8> {
    let mut bytes = forged.image.clone();
    for name in ["Initial", "LoadedModule", "Build"] {
        let name = name.as_bytes();
        let places: Vec<usize> =
            (0..bytes.len() - name.len()).filter(|at| &bytes[*at..at + name.len()] == name).collect();
        // 7 to 8.1 do not export the list of modules.
        assert!(!places.is_empty() || name == b"LoadedModule");
        for at in places {
            bytes[at..at + name.len()].fill(b'x');
        }
    }
    bytes
}

/// Where the block for debuggers starts.
fn block(bytes: &[u8]) -> usize {
    // Windows 7's has 0x340 bytes, later ones 0x360.
    let starts: [&[u8]; 2] = [b"KDBG\x40\x03\0\0", b"KDBG\x60\x03\0\0"];
    let start = starts.into_iter().find(|start| bytes.windows(8).any(|window| window == *start));
    place(bytes, start.expect("a block")) - 0x10
}

#[test]
fn every_build() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        let found = found_in(&forged, forged.image.clone());
        assert_true(&format!("{build:?}"), &found, &forged, &NEEDED);
        let registry = build >= Build::W10_17134 && build < Build::W11_26100;
        assert_eq!(found.globals.contains_key("CmpRegistryProcess"), registry, "{build:?}");
        use Origin::{DebuggerBlock, Export, Shape};
        let exported = if build >= Build::W10_10240 { &[Export][..] } else { &[] };
        let modules = [exported, &[DebuggerBlock, Shape]].concat();
        assert_eq!(origins(&found, "PsLoadedModuleList"), modules, "{build:?}");
        assert_eq!(origins(&found, "PsActiveProcessHead"), [DebuggerBlock, Shape], "{build:?}");
        assert_eq!(origins(&found, "PspCidTable"), [DebuggerBlock, Shape], "{build:?}");
        assert_eq!(origins(&found, "CmpHiveListHead"), [Shape], "{build:?}");
        assert_eq!(origins(&found, "ObTypeIndexTable"), [Shape], "{build:?}");
        // No page is in transition: nothing shows the mask.
        assert_eq!(found.invalid_pte_mask, None, "{build:?}");
    }
}

/// What exports and the block for debuggers say is found without them, but for what has no shape.
#[test]
fn by_shape_alone() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        let mut bytes = without_exports(&forged);
        let at = block(&bytes);
        bytes[at..at + 0x340].fill(0);
        let found = found_in(&forged, bytes);
        let shaped: Vec<&str> =
            NEEDED.into_iter().filter(|name| !name.starts_with("Nt") && !name.starts_with("Kd")).collect();
        assert_true(&format!("{build:?}"), &found, &forged, &shaped);
        for name in shaped {
            assert_eq!(origins(&found, name), [Origin::Shape], "{build:?}: {name}");
        }
        assert!(!found.globals.contains_key("KdDebuggerDataBlock") && found.process.is_none());
    }
}

/// With five levels of page tables, what the kernel allocates in whole pages has addresses of 57 bits: tables of handles do.
#[test]
fn five_levels_of_page_tables() {
    for build in [Build::W10_19045, Build::W11_22000, Build::W11_26100] {
        let forged = Scenario::clean(build).with_five_levels().forge();
        let mut bytes = without_exports(&forged);
        let at = block(&bytes);
        bytes[at..at + 0x340].fill(0);
        let shaped: Vec<&str> =
            NEEDED.into_iter().filter(|name| !name.starts_with("Nt") && !name.starts_with("Kd")).collect();
        assert_true(&format!("{build:?}"), &found_in(&forged, bytes), &forged, &shaped);
    }
}

/// A running Windows 8 or later keeps the block encoded: it says the same, although nobody says with which secrets.
#[test]
fn encoded_block() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        let plain = found_in(&forged, forged.image.clone());
        let mut bytes = without_exports(&forged);
        let at = block(&bytes);
        // KiWaitNever, KiWaitAlways, and the address of KdpDataBlockEncoded; the steps of the published decoding, backwards.
        let (never, always) = (0x00a5_8c3d_19e0_77b1 ^ u64::from(build.number()) << 40, 0xd87a_22c1_0b5e_9034_u64);
        let flag = forged.globals["KdpDataBlockEncoded"];
        for word in bytes[at..at + 0x340].as_chunks_mut::<8>().0 {
            let swapped = (u64::from_le_bytes(*word) ^ always).swap_bytes() ^ flag;
            *word = (swapped.rotate_right((never & 0x3f) as u32) ^ never).to_le_bytes();
        }
        let found = found_in(&forged, bytes);
        let needed: Vec<&str> =
            NEEDED.into_iter().filter(|name| !["NtBuildLab", "NtBuildNumber"].contains(name)).collect();
        assert_true(&format!("{build:?}"), &found, &forged, &needed);
        assert_eq!(found.process, plain.process, "{build:?}");
        assert_eq!(origins(&found, "NtBuildLabEx"), [Origin::DebuggerBlock], "{build:?}");
    }
}

/// `SizeEProcess`, `OffsetEprocessPeb` and its neighbours, as symbols have them.
#[test]
fn sizes_in_the_block() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        let opened = Opened::new(&forged);
        let kernel = opened.kernel();
        let layout = kernel.layouts().process;
        let expected = (layout.size, layout.peb.offset, layout.ppid.offset, layout.dtb.offset);
        let found = kernel.globals_in_image().process.unwrap();
        let found = (found.size.into(), found.peb.into(), found.ppid.into(), found.dtb.into());
        assert_eq!(found, expected, "{build:?}");
    }
}

/// A source that was written over is said, with both values; what the lists themselves prove is used.
#[test]
fn disagreement() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let truth = forged.globals["PsActiveProcessHead"];
    let decoy = forged.globals["MmPfnDatabase"];
    let says = |found: &FoundGlobals| {
        assert_eq!(found.globals["PsActiveProcessHead"].address, VirtualAddress(truth));
        let [warning] = found.warnings.as_slice() else { panic!("{:?}", found.warnings) };
        for part in ["PsActiveProcessHead", &format!("{decoy:016x}"), &format!("{truth:016x}")] {
            assert!(warning.message.contains(part), "{}", warning.message);
        }
    };
    let mut bytes = forged.image.clone();
    let at = block(&bytes);
    bytes[at + 0x50..at + 0x58].copy_from_slice(&decoy.to_le_bytes());
    says(&found_in(&forged, bytes));
    let mut dump = forged.as_crash_dump(DumpType::Full);
    assert_eq!(found_in(&forged, dump.clone()).warnings, []);
    dump[0x28..0x30].copy_from_slice(&decoy.to_le_bytes());
    says(&found_in(&forged, dump));
}

/// Pages in transition show the mask that is set in them.
#[test]
fn mask_of_invalid_entries() {
    for build in Build::ALL {
        let scenario = Scenario::clean(build).with_peb(348, Paged::Transition);
        let expected = scenario.paging.invalid_pte_mask;
        let forged = scenario.forge();
        assert_eq!(found_in(&forged, forged.image.clone()).invalid_pte_mask, Some(expected), "{build:?}");
        // An image cut short: what lies beyond its end is no mask.
        let mut odd = Scenario::clean(build).with_peb(348, Paged::Transition);
        odd.paging.invalid_pte_mask = 1 << 33;
        let forged = odd.forge();
        assert_eq!(found_in(&forged, forged.image.clone()).invalid_pte_mask, None, "{build:?}");
    }
}

/// Headers of processes show the cookie where the symbols do not say where it is.
#[test]
fn cookie() {
    for build in Build::ALL {
        let mut forged = Scenario::clean(build).forge();
        forged.isf = forged.isf.replace("\"ObHeaderCookie\"", "\"Other\"");
        let opened = Opened::new(&forged);
        let kernel = opened.kernel();
        assert!(kernel.global("ObHeaderCookie").is_err());
        let types = ObjectTypes::read(&kernel).unwrap();
        for process in &forged.truth.processes {
            let header = types.header(VirtualAddress(process.eprocess)).unwrap();
            assert_eq!(types.type_of(header).unwrap(), "Process", "{build:?}: pid {}", process.pid);
        }
    }
}

/// The hive of `\REGISTRY` itself has neither a file nor a place where it is mounted.
#[test]
fn master_hive() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let mut scenario = Scenario::clean(build);
        let mut master = scenario.hives[1].clone();
        (master.path, master.file, master.root_path) = (String::new(), String::new(), String::new());
        scenario.hives.insert(0, master.clone());
        let forged = scenario.forge();
        let found = found_in(&forged, forged.image.clone());
        assert_true(&format!("{build:?}"), &found, &forged, &["CmpMasterHive"]);
        // Two of that kind: which is the master is not known.
        scenario.hives.push(master);
        let forged = scenario.forge();
        let found = found_in(&forged, forged.image.clone());
        assert!(!found.globals.contains_key("CmpMasterHive"), "{build:?}");
    }
}

/// System was taken out of the list, the list is torn in one direction, headers are gone, the kernel is in large pages.
#[test]
fn odd_machines() {
    let build = Build::W10_19045;
    let clean = || Scenario::clean(build);
    let mut large = clean();
    large.kernel.pages = KernelPages::Large;
    large.memory = vec![0x1000..0x9_f000, 0x10_0000..0x400_0000];
    let mut headless = clean();
    headless.kernel.headers = ntmem_forge::Headers::Zeroed;
    for (what, scenario) in [
        ("unlinked System", clean().with_unlinked(4)),
        ("torn forward", clean().with_torn_flink(348)),
        ("torn backward", clean().with_torn_blink(348)),
        ("large pages", large),
        ("no headers", headless),
    ] {
        let forged = scenario.forge();
        let found = found_in(&forged, forged.image.clone());
        // Exports alone lead to these.
        let exported = ["NtBuildLab", "NtBuildNumber"];
        let needed: Vec<&str> =
            NEEDED.into_iter().filter(|name| what != "no headers" || !exported.contains(name)).collect();
        assert_true(what, &found, &forged, &needed);
    }
}

/// How often memory may be asked for bytes while these data are searched for globals: three times what it takes.
const MOST_FOR_GLOBALS: u64 = 2_000_000;
/// The same for layouts.
const MOST_FOR_LAYOUTS: u64 = 15_000_000;

/// Data full of pointers that lead somewhere: it ends soon, and finds what is there all the same.
#[test]
fn data_full_of_pointers() {
    let mut scenario = Scenario::clean(Build::W11_26100);
    scenario.kernel.pages = KernelPages::Large;
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x400_0000];
    let forged = scenario.forge();
    let start = forged.truth.kernel_physical as usize;
    let end = start + forged.truth.kernel_size as usize;
    let targets: Vec<u64> = forged.truth.processes.iter().map(|process| process.eprocess).collect();
    let fill = |step: u64| {
        let mut bytes = forged.image.clone();
        let words = bytes[start + 0x2_0000..end].as_chunks_mut::<8>().0;
        for (word, number) in words.iter_mut().zip(0u64..).filter(|(word, _)| **word == [0; 8]) {
            let target = targets[(number * step / 7) as usize % targets.len()];
            *word = (target + number % 64 * 16 * step).to_le_bytes();
        }
        bytes
    };
    for step in [0, 1, 2] {
        let (opened, asked) = Opened::counted(&forged, fill(step));
        let kernel = opened.kernel();
        asked.store(0, Ordering::Relaxed);
        let found = kernel.globals_in_image();
        let for_globals = asked.swap(0, Ordering::Relaxed);
        println!("step {step}: asked {for_globals} times, {} found", found.globals.len());
        assert!(for_globals < MOST_FOR_GLOBALS, "step {step}: memory was asked {for_globals} times");
        let head = forged.globals["PsActiveProcessHead"];
        assert_eq!(found.globals["PsActiveProcessHead"].address, VirtualAddress(head));
        let system = VirtualAddress(targets[0]);
        let others = builds(&Layouts::wanted(), |_| true).unwrap();
        let others: Vec<_> = others.into_iter().filter_map(|(of, symbols)| Some((of.build?, symbols))).collect();
        // The zeros of objects were written over too: whatever comes out, it comes soon.
        assert!(confirm(kernel.space(), kernel.base(), system, kernel.symbols()).held.len() > 20);
        let _ = infer(kernel.space(), kernel.base(), system, &others);
        let for_layouts = asked.load(Ordering::Relaxed);
        println!("layouts: asked {for_layouts} times");
        assert!(for_layouts < MOST_FOR_LAYOUTS, "step {step}: memory was asked {for_layouts} times");
    }
}

/// The samples' kernels have symbols: what they say and what the image says are the same.
#[test]
fn samples() {
    let Some(material) = common::material("samples") else { return };
    for name in ["win7-7601-clean", "win10-19045-clean", "win11-26100-clean", "win10-19045-brontok-lojax"] {
        let image = MemoryImage::from_bytes(common::sample(&material, name)).unwrap();
        let store = SymbolStore::new().directory(material.join("symbols"));
        let kernel = image.locate_kernel(&store).unwrap();
        let found = kernel.globals_in_image();
        println!("{name}: mask {:x?}", found.invalid_pte_mask);
        for (global, place) in &found.globals {
            println!("  {global} {} {:?}", place.address, place.origins);
            // The block for debuggers of these images names NtBuildLab where real ones name NtBuildLabEx.
            if let Ok(truth) = kernel.global(global)
                && *global != "NtBuildLabEx"
            {
                assert_eq!(place.address, truth, "{name}: {global} by {:?}", place.origins);
            }
        }
        assert_eq!(found.warnings, [], "{name}");
        for needed in [
            "PsActiveProcessHead",
            "PsLoadedModuleList",
            "PsInitialSystemProcess",
            "CmpHiveListHead",
            "ObTypeIndexTable",
            "PspCidTable",
        ] {
            assert!(found.globals.contains_key(needed), "{name}: {needed} is not found");
        }
    }
}

//! Handles to registry keys: their paths as they were written, and blocks that were tampered with.

use crate::common::forged::Opened;
use ntmem::kernel::Handle;
use ntmem::{Absent, System, VirtualAddress};
use ntmem_forge::{Build, Forged, Layout, OpenKey, Scenario};

const BUILDS: [Build; 4] = [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::W11_26100];
/// Names in one byte a character, one of them no ASCII, and in two; keys that share what is above them; the root itself.
const PATHS: [&str; 5] = [
    "\\REGISTRY\\MACHINE\\SYSTEM\\CONTROLSET001\\CONTROL\\SESSION MANAGER",
    "\\REGISTRY\\MACHINE\\SOFTWARE\\Caf\u{e9}",
    "\\REGISTRY\\MACHINE\\SOFTWARE\\\u{41a}\u{43b}\u{44e}\u{447} \u{1f511}",
    "\\REGISTRY\\USER\\S-1-5-18\\SOFTWARE",
    "\\REGISTRY",
];

fn forge(build: Build, paths: impl IntoIterator<Item = String>) -> (Forged, u64) {
    let mut scenario = Scenario::clean(build);
    let pid = scenario.processes.iter().find(|p| p.name == b"services.exe").unwrap().pid;
    scenario.open_keys = paths.into_iter().map(|path| OpenKey { pid, path }).collect();
    (scenario.forge(), pid)
}

/// The handles to keys that this process has.
fn keys(opened: &Opened, pid: u64) -> Vec<Handle> {
    let kernel = opened.kernel();
    let mut system = System::read(&kernel).unwrap();
    let at = system.processes.items.iter().position(|p| p.pid.value() == Some(&pid)).unwrap();
    system.look_into(&kernel, at);
    let inside = system.processes.items[at].inside.value().unwrap();
    let handles = inside.handles.value().unwrap().iter();
    handles.filter(|handle| handle.kind.value().is_some_and(|kind| kind == "Key")).cloned().collect()
}

/// Writes over the field of a structure.
fn put(opened: &Opened, bytes: &mut [u8], at: u64, value: &[u8]) {
    let physical = opened.kernel().space().translate(VirtualAddress(at)).unwrap().0;
    bytes[usize::try_from(physical).unwrap()..][..value.len()].copy_from_slice(value);
}

fn why(handle: &Handle) -> &Absent {
    handle.name.absent().unwrap_or_else(|| panic!("{:?}", handle.name))
}

#[test]
fn keys_have_their_paths() {
    for build in BUILDS {
        let (forged, pid) = forge(build, PATHS.map(str::to_owned));
        let read = keys(&Opened::new(&forged), pid);
        let names: Vec<&str> = read.iter().map(|handle| handle.name.value().unwrap().as_str()).collect();
        assert_eq!(names, PATHS, "{build:?}");
    }
}

/// Each edit is to the blocks above the first key; the last key has blocks of its own, but for the root.
#[test]
fn half_a_path_is_none() {
    for build in BUILDS {
        let (forged, pid) = forge(build, [PATHS[0], PATHS[3]].map(str::to_owned));
        let opened = Opened::new(&forged);
        let layout = Layout::of(build);
        let of = |kind: &str, field: &str| layout.offset(kind, field);
        let pointer = |at: u64| opened.kernel().space().read_pointer(VirtualAddress(at)).unwrap().0;
        let body = keys(&opened, pid)[0].object.value().unwrap().0;
        let block = pointer(body + of("_CM_KEY_BODY", "KeyControlBlock"));
        let parent = of("_CM_KEY_CONTROL_BLOCK", "ParentKcb");
        let name = pointer(block + of("_CM_KEY_CONTROL_BLOCK", "NameBlock"));
        let length = name + of("_CM_NAME_CONTROL_BLOCK", "NameLength");
        let text = name + of("_CM_NAME_CONTROL_BLOCK", "Name");
        let edits: [(&str, u64, Vec<u8>); 7] = [
            ("a ring", pointer(block + parent) + parent, block.to_le_bytes().to_vec()),
            ("its own parent", block + parent, block.to_le_bytes().to_vec()),
            ("the way ends early", block + parent, vec![0; 8]),
            ("a parent in user memory", block + parent, 0x1000u64.to_le_bytes().to_vec()),
            ("no length", length, vec![0; 2]),
            ("a length that no name has", length, vec![0xff; 2]),
            ("two keys in one name", text, b"A\\B".to_vec()),
        ];
        for (what, at, value) in edits {
            let mut bytes = forged.image.clone();
            put(&opened, &mut bytes, at, &value);
            let read = keys(&Opened::with_bytes(&forged, bytes), pid);
            assert!(!why(&read[0]).to_string().is_empty(), "{build:?}: {what}");
            assert_eq!(read[1].name.value().map(String::as_str), Some(PATHS[3]), "{build:?}: {what}");
        }
    }
}

/// Many handles to one key that lies 512 keys deep: some are named, and for the rest it is said that they were too many.
#[test]
fn deep_keys_are_read_up_to_a_limit() {
    let deep = format!("\\REGISTRY{}", "\\k".repeat(511));
    let (forged, pid) = forge(Build::W10_19045, vec![deep.clone(); 600]);
    let read = keys(&Opened::new(&forged), pid);
    assert_eq!(read.len(), 600);
    assert_eq!(read[0].name.value(), Some(&deep));
    assert!(why(&read[599]).to_string().contains("blocks were read"), "{}", why(&read[599]));
    // One level more than the registry allows.
    let (forged, pid) = forge(Build::W10_19045, [format!("\\REGISTRY{}", "\\k".repeat(513))]);
    assert!(why(&keys(&Opened::new(&forged), pid)[0]).to_string().contains("allows no more"));
}

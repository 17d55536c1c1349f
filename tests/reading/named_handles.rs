//! Handles to objects with names: where they stand in the namespace, and directories that were tampered with.

use crate::common::forged::Opened;
use ntmem::kernel::Handle;
use ntmem::{Reading, System, VirtualAddress};
use ntmem_forge::{Build, Forged, Layout, NamedObject, Scenario};

const BUILDS: [Build; 4] = [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::W11_26100];
/// Below the volume, which builds number otherwise.
const FILE: &str = "\\Users\\anna\\notes.txt";
/// Objects of one directory and of others, in the root itself, with letters outside ASCII; a file, and an object in no directory.
const OBJECTS: [(&str, &str); 6] = [
    ("Mutant", "\\Sessions\\1\\BaseNamedObjects\\Local\\run once"),
    ("Event", "\\Sessions\\1\\BaseNamedObjects\\\u{41a}\u{43b}\u{44e}\u{447}"),
    ("Section", "\\BaseNamedObjects\\__ComCatalogCache__"),
    ("Event", "\\SmApiPort"),
    ("File", FILE),
    ("Mutant", "nowhere"),
];

fn forge(build: Build) -> (Forged, u64) {
    let mut scenario = Scenario::clean(build);
    let pid = scenario.processes.iter().find(|p| p.name == b"services.exe").unwrap().pid;
    let volume = scenario.volume.clone();
    let object = |(kind, path): (&'static str, &str)| NamedObject { pid, kind, path: whole(&volume, path) };
    scenario.named_objects = OBJECTS.map(object).into();
    (scenario.forge(), pid)
}

fn whole(volume: &str, path: &str) -> String {
    if path == FILE { format!("{volume}{path}") } else { path.to_owned() }
}

/// The last handles of this process: those to the objects.
fn handles(opened: &Opened, pid: u64) -> Vec<Handle> {
    let kernel = opened.kernel();
    let mut system = System::read(&kernel).unwrap();
    let at = system.processes.items.iter().position(|p| p.pid.value() == Some(&pid)).unwrap();
    system.look_into(&kernel, at);
    let handles = system.processes.items[at].inside.value().unwrap().handles.value().unwrap();
    handles[handles.len() - OBJECTS.len()..].to_vec()
}

#[test]
fn named_objects_have_their_paths() {
    for build in BUILDS {
        let (forged, pid) = forge(build);
        let volume = Scenario::clean(build).volume;
        let read = handles(&Opened::new(&forged), pid);
        for (handle, (kind, path)) in read.iter().zip(OBJECTS) {
            assert_eq!(handle.kind.value().map(String::as_str), Some(kind), "{build:?}");
            let expected = if path.starts_with('\\') { Reading::Value(whole(&volume, path)) } else { Reading::Nothing };
            assert_eq!(handle.path, expected, "{build:?}");
            let name = path.rsplit('\\').next().unwrap();
            assert!(handle.name.value().unwrap().ends_with(name), "{build:?}");
        }
    }
}

/// Each edit is to the directories above the first object; the third has others, but for the root.
#[test]
fn half_a_path_is_none() {
    for build in BUILDS {
        let (forged, pid) = forge(build);
        let opened = Opened::new(&forged);
        let layout = Layout::of(build);
        let pointer = |at: u64| opened.kernel().space().read_pointer(VirtualAddress(at)).unwrap().0;
        let body = handles(&opened, pid)[0].object.value().unwrap().0;
        // What names an object lies in front of its header.
        let above = |body: u64| body - 0x50 + layout.offset("_OBJECT_HEADER_NAME_INFO", "Directory");
        let local = pointer(above(body));
        let named = pointer(above(local));
        let edits: [(&str, u64, Vec<u8>); 5] = [
            ("a ring", above(named), local.to_le_bytes().to_vec()),
            ("its own directory", above(local), local.to_le_bytes().to_vec()),
            ("the way ends early", above(local), vec![0; 8]),
            ("no directory", above(local), body.to_le_bytes().to_vec()),
            ("a directory in user memory", above(body), 0x1000u64.to_le_bytes().to_vec()),
        ];
        for (what, at, value) in edits {
            let mut bytes = forged.image.clone();
            let physical = opened.kernel().space().translate(VirtualAddress(at)).unwrap().0 as usize;
            bytes[physical..][..value.len()].copy_from_slice(&value);
            let read = handles(&Opened::with_bytes(&forged, bytes), pid);
            assert!(read[0].path.absent().is_some(), "{build:?}: {what}: {:?}", read[0].path);
            assert_eq!(read[0].name.value().map(String::as_str), Some("run once"), "{build:?}: {what}");
            assert_eq!(read[2].path.value().map(String::as_str), Some(OBJECTS[2].1), "{build:?}: {what}");
        }
    }
}

//! What is in the processes of the sample images: against their truth files, and after changes made by hand.

use crate::common;
use crate::common::number;
use ntmem::process::{Inside, InsideOf};
use ntmem::symbols::SymbolStore;
use ntmem::{ListEnd, MemoryImage, Process, ReadOptions, System, VirtualAddress};
use serde_json::Value;
use std::path::Path;

const SAMPLES: [&str; 4] = ["win7-7601-clean", "win10-19045-clean", "win11-26100-clean", "win10-19045-brontok-lojax"];

fn read(bytes: Vec<u8>, material: &Path, inside: InsideOf) -> System {
    let image = MemoryImage::from_bytes(bytes).unwrap();
    let store = SymbolStore::new().directory(material.join("symbols"));
    let kernel = image.locate_kernel(&store).unwrap();
    System::read_with(&kernel, &ReadOptions { inside, ..ReadOptions::default() }).unwrap()
}

/// Where `at` lies in the raw file, by the kernel's page tables.
fn place(bytes: &[u8], material: &Path, at: VirtualAddress) -> usize {
    let image = MemoryImage::from_bytes(bytes.to_vec()).unwrap();
    let store = SymbolStore::new().directory(material.join("symbols"));
    let kernel = image.locate_kernel(&store).unwrap();
    usize::try_from(kernel.space().translate(at).unwrap().0).unwrap()
}

fn inside(process: &Process) -> &Inside {
    process.inside.value().unwrap_or_else(|| panic!("{:?}: {:?}", process.name, process.inside))
}

fn named<'s>(system: &'s System, name: &str, session: Option<u32>) -> &'s Process {
    let mut all = system.processes.items.iter();
    let is_it = |p: &&Process| p.name.value().is_some_and(|n| n == name) && p.session.value().copied() == session;
    all.find(is_it).unwrap_or_else(|| panic!("no {name} in {session:?}"))
}

/// `C:\Windows\System32\x`, `\SystemRoot\System32\x` and `\Device\HarddiskVolume1\Windows\System32\x` on their volume.
fn on_volume(path: &str) -> String {
    let path = path.strip_prefix("\\SystemRoot\\").map_or_else(|| path.to_owned(), |rest| format!("\\Windows\\{rest}"));
    let path = path.strip_prefix("\\Device\\").map_or(path.as_str(), |rest| &rest[rest.find('\\').unwrap()..]);
    let path = path.strip_prefix("\\??\\").unwrap_or(path);
    path.strip_prefix("C:").unwrap_or(path).to_lowercase()
}

#[test]
fn ranges_threads_and_handles() {
    let Some(material) = common::material("ranges_threads_and_handles") else { return };
    for name in SAMPLES {
        let system = read(common::sample(&material, name), &material, InsideOf::Everybody);
        let truth = common::json(&material.join("samples").join(name).join("truth.json"));
        for theirs in truth["processes"].as_array().unwrap().iter().filter(|p| p["in_active_list"] == true) {
            let who = format!("{name}: pid {} {}", theirs["pid"], theirs["name"]);
            let find = |p: &&Process| p.eprocess.value().map(|at| at.0) == number(&theirs["eprocess"]);
            let ours = system.processes.items.iter().find(find).unwrap();
            let inside = inside(ours);
            let threads = inside.threads.value().unwrap();
            assert_eq!(threads.len() as u64, theirs["threads"], "{who}: threads");
            assert!(threads.iter().all(|thread| thread.pid == ours.pid), "{who}: threads of another");
            assert_eq!(inside.threads_end.value(), Some(&ListEnd::Complete), "{who}");
            let vads = inside.vads.value().unwrap();
            assert_eq!(inside.vads_end.value(), Some(&ListEnd::Complete), "{who}");
            let starts: Vec<_> =
                vads.iter().map(|vad| (vad.start.value().unwrap(), vad.end.value().unwrap())).collect();
            assert!(starts.windows(2).all(|two| two[0].1 < two[1].0), "{who}: ranges overlap or are out of order");
            let images: Vec<_> = vads.iter().filter(|vad| vad.kind.value().unwrap() == "image").collect();
            let files: Vec<String> = images.iter().map(|vad| vad.file.value().unwrap().to_lowercase()).collect();
            // The program lies where the kernel says that its section is mapped.
            if let Some(base) = number(&theirs["section_base"]) {
                let program = images.iter().find(|vad| vad.start.value().unwrap().0 == base).unwrap();
                let path = on_volume(theirs["path"].as_str().unwrap());
                assert_eq!(program.file.value().unwrap().to_lowercase(), path, "{who}");
            }
            // Every module is a file that is mapped as an image.
            for module in theirs["modules"].as_array().unwrap() {
                let module = on_volume(module.as_str().unwrap());
                assert!(files.contains(&module), "{who}: {module} is not among {files:?}");
            }
            assert_eq!(inside.private_executable.value(), Some(&false), "{who}");
        }
        // Windows Internals 7, chapter 2: the Session Manager keeps a handle to the csrss.exe of session 0.
        let (smss, csrss) = (named(&system, "smss.exe", None), named(&system, "csrss.exe", Some(0)));
        let handles = inside(smss).handles.value().unwrap();
        let to_csrss = |h: &&ntmem::kernel::Handle| h.kind.value().unwrap() == "Process" && h.pid == csrss.pid;
        let handle = handles.iter().find(to_csrss).unwrap();
        let holder = inside(csrss).held_by.value().unwrap().iter().find(|holder| holder.pid == smss.pid).unwrap();
        assert_eq!((&holder.value, &holder.access), (&handle.value, &handle.access));
    }
}

#[test]
fn only_core_processes_are_looked_into() {
    let Some(material) = common::material("only_core_processes_are_looked_into") else { return };
    let bytes = common::sample(&material, "win10-19045-brontok-lojax");
    let system = read(bytes.clone(), &material, InsideOf::default());
    let looked: Vec<&str> = system
        .processes
        .items
        .iter()
        .filter(|p| p.inside.value().is_some())
        .map(|p| p.name.value().unwrap().as_str())
        .collect();
    // Both that are called smss.exe are among them, the true one and the other; System, which has no code of its own in its user half.
    assert_eq!(looked.iter().filter(|name| **name == "smss.exe").count(), 2);
    assert!(
        looked.iter().all(|name| ["System", "smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe"].contains(name)),
        "{looked:?}"
    );
    let none = read(bytes, &material, InsideOf::Nobody);
    assert!(none.processes.items.iter().all(|p| p.inside.absent().is_some()));
    // What was read survives a document.
    let document: Value = serde_json::to_value(&system).unwrap();
    let back: System = serde_json::from_value(document).unwrap();
    assert_eq!(back.processes, system.processes);
}

#[test]
fn private_executable_memory_and_circles_in_the_tree() {
    // 19045: _MMVAD_SHORT.u.VadFlags.Protection is bits 7 to 11 at 0x30, VadNode.Right lies at 8.
    let Some(material) = common::material("private_executable_memory_and_circles_in_the_tree") else { return };
    let bytes = common::sample(&material, "win10-19045-clean");
    let system = read(bytes.clone(), &material, InsideOf::default());
    let vads = inside(named(&system, "smss.exe", None)).vads.value().unwrap();
    let private = vads.iter().find(|vad| vad.private.value() == Some(&true)).unwrap();
    let at = place(&bytes, &material, *private.address.value().unwrap());

    let mut changed = bytes.clone();
    let flags = u32::from_le_bytes(changed[at + 0x30..at + 0x34].try_into().unwrap());
    // MM_EXECUTE_READWRITE.
    let flags = flags & !(0x1f << 7) | (6 << 7);
    changed[at + 0x30..at + 0x34].copy_from_slice(&flags.to_le_bytes());
    let system = read(changed, &material, InsideOf::default());
    let smss = inside(named(&system, "smss.exe", None));
    assert_eq!(smss.private_executable.value(), Some(&true));
    let found = smss.vads.value().unwrap().iter().find(|vad| vad.address == private.address).unwrap();
    assert_eq!(found.protection.value().unwrap(), "PAGE_EXECUTE_READWRITE");

    let mut changed = bytes;
    let own = private.address.value().unwrap().0;
    changed[at + 8..at + 16].copy_from_slice(&own.to_le_bytes());
    let system = read(changed, &material, InsideOf::default());
    let smss = inside(named(&system, "smss.exe", None));
    assert_eq!(smss.vads_end.value(), Some(&ListEnd::Cycle));
    // What cannot be read may be executable: it is not said that there is none.
    assert!(smss.private_executable.absent().is_some());
}

//! Objects in the namespace of the object manager: directories, and what processes have open in them.

use crate::machine::Machine;
use crate::process::Made;
use crate::scenario::Scenario;
use crate::section::Files;
use std::collections::BTreeMap;

const NAME: &str = "_OBJECT_HEADER_NAME_INFO";
/// Bytes of it, and of the object header behind it.
const BEFORE: u64 = 0x20 + 0x30;
/// Bytes of a body of which nothing is read.
const BODY: u64 = 0x40;

impl Machine {
    /// Gives processes their handles to named objects.
    pub fn forge_named_objects(&mut self, plan: &Scenario, made: &mut [Made], files: &mut Files) {
        let mut directories = BTreeMap::new();
        for object in &plan.named_objects {
            let split = object.path.rfind('\\');
            let name = &object.path[split.map_or(0, |n| n + 1)..];
            // A file has no name of that kind, and its device has.
            let (body, named, split) = if object.kind == "File" {
                let file = self.file_object(files, &object.path);
                let device = self.read_u64(file + self.offset("_FILE_OBJECT", "DeviceObject"));
                (file, device, Some(r"\Device".len()))
            } else {
                let body = self.object(object.kind, BODY, Some(name));
                (body, body, split)
            };
            if let Some(split) = split {
                let above = self.forge_directory(&mut directories, &object.path[..split]);
                self.put(named - BEFORE, NAME, "Directory", above);
            }
            let owner = plan.processes.iter().position(|p| p.pid == object.pid).expect("a process that opens it");
            let handle = made[owner].handles.keys().max().unwrap_or(&0) + 4;
            made[owner].handles.insert(handle, (body - 0x30, 0x1f_0001));
        }
    }

    /// The directory of a path, made with those above where it is not there yet. The path of the root is empty, its name `\`, and it
    /// is in no directory.
    fn forge_directory(&mut self, known: &mut BTreeMap<String, u64>, path: &str) -> u64 {
        if let Some(body) = known.get(path) {
            return *body;
        }
        let split = path.rfind('\\');
        let name = split.map_or("\\", |n| &path[n + 1..]);
        let body = self.object("Directory", BODY, Some(name));
        if let Some(split) = split {
            let above = self.forge_directory(known, &path[..split]);
            self.put(body - BEFORE, NAME, "Directory", above);
        }
        known.insert(path.to_owned(), body);
        body
    }
}

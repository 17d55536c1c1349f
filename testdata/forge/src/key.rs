//! Open registry keys: a `_CM_KEY_BODY` for each handle, a `_CM_KEY_CONTROL_BLOCK` for each key on the way, a
//! `_CM_NAME_CONTROL_BLOCK` for each name.

use crate::machine::Machine;
use crate::process::Made;
use crate::scenario::Scenario;
use std::collections::BTreeMap;

const BODY: &str = "_CM_KEY_BODY";
const BLOCK: &str = "_CM_KEY_CONTROL_BLOCK";
const NAME: &str = "_CM_NAME_CONTROL_BLOCK";
/// `KEY_READ` (winnt.h).
const KEY_READ: u64 = 0x2_0019;

impl Machine {
    /// Gives processes their handles to keys.
    pub fn forge_open_keys(&mut self, plan: &Scenario, made: &mut [Made]) {
        let (mut blocks, mut names) = (BTreeMap::new(), BTreeMap::new());
        for key in &plan.open_keys {
            let mut above = 0;
            for (at, _) in key.path.match_indices('\\').skip(1).chain([(key.path.len(), "")]) {
                let path = &key.path[..at];
                above = *blocks.entry(path.to_owned()).or_insert_with(|| {
                    let name = &path[path.rfind('\\').map_or(0, |n| n + 1)..];
                    let name = *names.entry(name.to_owned()).or_insert_with(|| self.forge_key_name(name));
                    let block = self.pool(true, b"CM25", self.layout.size(BLOCK));
                    self.put(block, BLOCK, "RefCount", 1);
                    self.put(block, BLOCK, "ParentKcb", above);
                    self.put(block, BLOCK, "NameBlock", name);
                    block
                });
            }
            let owner = plan.processes.iter().position(|p| p.pid == key.pid).expect("a process that opens a key");
            let body = self.object("Key", self.layout.size(BODY), None);
            self.put(body, BODY, "Type", 0x6b79_3032);
            self.put(body, BODY, "KeyControlBlock", above);
            self.put(body, BODY, "ProcessID", key.pid);
            let handle = made[owner].handles.keys().max().unwrap_or(&0) + 4;
            made[owner].handles.insert(handle, (body - 0x30, KEY_READ));
        }
    }

    /// A name; in one byte for each character where they all fit.
    fn forge_key_name(&mut self, name: &str) -> u64 {
        let small = name.chars().all(|c| u32::from(c) < 0x100);
        let bytes: Vec<u8> = if small {
            name.chars().map(|c| c as u8).collect()
        } else {
            name.encode_utf16().flat_map(u16::to_le_bytes).collect()
        };
        let offset = self.offset(NAME, "Name");
        let block = self.pool(true, b"CMNb", offset + bytes.len() as u64);
        // Neighbours of the bit, and what follows the byte, are not zero.
        self.put(block, NAME, "RefCount", 5);
        self.put(block, NAME, "Compressed", u64::from(small));
        self.put(block, NAME, "NameLength", bytes.len() as u64);
        self.write(block + offset, &bytes);
        block
    }
}

//! Symbols that a linker made of the tables: its map file and image read back into a table of globals.

use crate::scenario::SymbolPlan;
use std::collections::BTreeMap;
use std::fmt::Write;

impl SymbolPlan {
    /// Reads the PDB id out of a linked image (`RSDS` record) and the addresses out of the linker's map file.
    ///
    /// # Panics
    /// When the image has no CodeView record.
    #[must_use]
    pub fn from_linker(image: &[u8], map: &str) -> Self {
        let at = image.windows(4).position(|w| w == b"RSDS").expect("a CodeView record") + 4;
        let id = &image[at..at + 20];
        // Data1, Data2 and Data3 are numbers, stored little-endian.
        let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        let guid = order.iter().map(|&n: &usize| format!("{:02X}", id[n])).collect();
        let age = u32::from_le_bytes(id[16..20].try_into().expect("4 bytes"));
        let base = 0x1_4000_0000;
        let mut globals = BTreeMap::new();
        for line in map.lines() {
            // " 0003:0000b088       CmpHiveListHead            000000014000e088     k.obj"
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [section, name, address, _] = words.as_slice()
                && section.len() == 13
                && let Ok(address) = u64::from_str_radix(address, 16)
                && !name.starts_with("ntmem_")
                && *name != "start"
            {
                globals.insert((*name).to_owned(), address - base);
            }
        }
        Self { guid, age, globals }
    }

    /// The table as text: `guid`, `age`, then a name and an address from the kernel base (hexadecimal) a line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("guid {}\nage {}\n", self.guid, self.age);
        for (name, rva) in &self.globals {
            writeln!(out, "{name} {rva:x}").expect("text");
        }
        out
    }

    /// Reads such a text.
    ///
    /// # Panics
    /// When it has another form.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let mut plan = Self { guid: String::new(), age: 0, globals: BTreeMap::new() };
        for line in text.lines() {
            match line.split_once(' ').expect("a name and a value") {
                ("guid", value) => value.clone_into(&mut plan.guid),
                ("age", value) => plan.age = value.parse().expect("a number"),
                (name, value) => {
                    plan.globals.insert(name.to_owned(), u64::from_str_radix(value, 16).expect("hexadecimal"));
                }
            }
        }
        plan
    }
}

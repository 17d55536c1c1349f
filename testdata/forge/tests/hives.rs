//! Hives, read back with the offsets of 19041.3570 and the published cell formats.

use ntmem_forge::{Build, Data, Forged, HiveDamage, ListKind, Paged, Scenario};

const MASK: u64 = 0x0000_0fff_ffff_f000;

struct Reader<'a> {
    forged: &'a Forged,
    root: u64,
    storage: u64,
}

impl<'a> Reader<'a> {
    fn new(forged: &'a Forged) -> Self {
        let registry = forged.truth.processes.iter().find(|p| p.name == b"Registry").expect("the process Registry");
        let mut reader = Self { forged, root: registry.dtb, storage: 0 };
        // CmpHiveListHead; _CMHIVE.HiveList at 0x640.
        let hive = reader.word(forged.truth.kernel_base + 0xd2_e910) - 0x640;
        assert_eq!(hive, forged.truth.hives[0].cmhive);
        reader.storage = hive + 0x110;
        reader
    }

    fn find(&self, va: u64) -> Option<usize> {
        let mut table = self.root;
        for shift in [39, 30, 21, 12] {
            let at = (table + (va >> shift & 0x1ff) * 8) as usize;
            let entry = u64::from_le_bytes(self.forged.image[at..at + 8].try_into().expect("8 bytes"));
            if entry & 1 == 0 {
                return None;
            }
            table = entry & MASK;
        }
        Some((table + va % 4096) as usize)
    }

    fn word(&self, va: u64) -> u64 {
        let at = self.find(va).expect("mapped");
        u64::from_le_bytes(self.forged.image[at..at + 8].try_into().expect("8 bytes"))
    }

    /// The data of a cell, to the end of its page.
    fn cell(&self, index: u32) -> Option<&'a [u8]> {
        // _DUAL is 0x278 long, Map at 8; tables of 512 entries of 0x18: BlockOffset, PermanentBinAddress.
        let dual = self.storage + if index >> 31 == 1 { 0x278 } else { 0 };
        let map = self.word(dual + 8);
        let table = self.word(map + u64::from(index >> 21 & 0x3ff) * 8);
        let entry = table + u64::from(index >> 12 & 0x1ff) * 0x18;
        let bin = self.word(entry + 8) & !0xf;
        if bin == 0 {
            return None;
        }
        let at = self.find(bin + self.word(entry) + u64::from(index & 0xfff))?;
        Some(&self.forged.image[at + 4..(at / 4096 + 1) * 4096])
    }

    fn u32(cell: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(cell[at..at + 4].try_into().expect("4 bytes"))
    }

    /// Subkeys of a key, stable and volatile: name and cell.
    fn subkeys(&self, key: u32) -> Vec<(String, u32)> {
        let node = self.cell(key).expect("a node");
        assert_eq!(&node[..2], b"nk");
        let lists = [0x14, 0x18].map(|at| (Self::u32(node, at), Self::u32(node, at + 8)));
        let cells = lists.iter().filter(|(n, _)| *n > 0).flat_map(|(_, list)| self.list(*list));
        cells.filter_map(|c| self.cell(c).map(|n| (Self::name(n), c))).collect()
    }

    fn name(node: &[u8]) -> String {
        let len = usize::from(node[0x48]) | usize::from(node[0x49]) << 8;
        node[0x4c..0x4c + len].iter().map(|&b| char::from(b)).collect()
    }

    fn list(&self, at: u32) -> Vec<u32> {
        let data = self.cell(at).expect("a list");
        let count = usize::from(data[2]) | usize::from(data[3]) << 8;
        let items = |step: usize| (0..count).map(|n| Self::u32(data, 4 + n * step)).collect::<Vec<_>>();
        match &data[..2] {
            b"lh" | b"lf" => items(8),
            b"li" => items(4),
            b"ri" => items(4).into_iter().flat_map(|l| self.list(l)).collect(),
            other => panic!("a list of kind {other:?}"),
        }
    }

    fn key(&self, path: &str) -> Option<u32> {
        path.split('\\').try_fold(self.forged_root(), |key, name| {
            self.subkeys(key).into_iter().find(|(n, _)| n == name).map(|(_, c)| c)
        })
    }

    fn forged_root(&self) -> u32 {
        // _HHIVE.BaseBlock at 0x40, RootCell at 0x24 of the base block.
        (self.word(self.word(self.storage - 0x110 + 0x40) + 0x24) & 0xffff_ffff) as u32
    }

    /// A value's data length and place.
    fn value(&self, key: u32, name: &str) -> Option<(u32, u32)> {
        let node = self.cell(key).expect("a node");
        let (count, list) = (Self::u32(node, 0x24), Self::u32(node, 0x28));
        let list = self.cell(list)?;
        (0..count as usize).filter_map(|n| self.cell(Self::u32(list, n * 4))).find_map(|v| {
            let len = usize::from(v[2]);
            (&v[..2] == b"vk" && &v[0x14..0x14 + len] == name.as_bytes()).then(|| (Self::u32(v, 4), Self::u32(v, 8)))
        })
    }
}

fn clean() -> Scenario {
    Scenario::clean(Build::W10_19045)
}

#[test]
fn keys_and_values_are_found() {
    for full in [false, true] {
        let mut scenario = clean();
        scenario.system_hive().full_directory = full;
        let forged = scenario.forge();
        let reader = Reader::new(&forged);
        let select = reader.key("Select").expect("Select");
        assert_eq!(reader.value(select, "Current"), Some((0x8000_0004, 1)));
        let manager = reader.key("ControlSet001\\Control\\Session Manager").expect("Session Manager");
        let (len, cell) = reader.value(manager, "BootExecute").expect("BootExecute");
        let data = &reader.cell(cell).expect("data")[..len as usize];
        assert_eq!(data, Data::MultiSz(vec!["autocheck autochk *".into()]).stored().1);
        // A volatile key below a stable one.
        let shared = reader.key("ControlSet001\\Control\\Session Manager\\SubSystems\\CSRSS").expect("CSRSS");
        assert_eq!(shared >> 31, 1);
        assert_eq!(reader.subkeys(reader.key("ControlSet001\\Services").expect("Services")).len(), 24);
    }
}

#[test]
fn every_kind_of_list_and_large_hives() {
    let mut scenario = clean().with_big_value(70_000).with_deep_path(300).with_second_control_set();
    for kind in [ListKind::Lf, ListKind::Li, ListKind::Lh, ListKind::Ri] {
        let key = scenario.system_hive().root.at(&format!("{kind:?}"));
        key.list = kind;
        for n in 0..5 {
            key.at(&format!("k{n}"));
        }
    }
    scenario.memory[1].end = 0x80_0000;
    let forged = scenario.forge();
    let reader = Reader::new(&forged);
    for kind in ["Lf", "Li", "Lh", "Ri"] {
        assert_eq!(reader.subkeys(reader.key(kind).expect("a key")).len(), 5, "{kind}");
    }
    assert!(reader.key("ControlSet002\\Control\\Session Manager").is_some());
    let deep = (1..=300).fold("Deep".to_owned(), |p, n| format!("{p}\\{n}"));
    assert!(reader.value(reader.key(&deep).expect("the end"), "end").is_some());
    let (len, cell) = reader.value(reader.key("Select").expect("Select"), "Big").expect("Big");
    assert_eq!(len, 70_000);
    let head = reader.cell(cell).expect("big data");
    assert_eq!((&head[..2], head[2]), (&b"db"[..], 5));
}

#[test]
fn damage_is_where_it_was_ordered() {
    let path = "ControlSet001\\Control\\Session Manager\\SubSystems";
    let key = || path.to_owned();
    for damage in [HiveDamage::KeyPage { key: key(), state: Paged::Out }, HiveDamage::NoMap { key: key() }] {
        let forged = clean().with_hive_damage(damage).forge();
        let reader = Reader::new(&forged);
        assert!(reader.key(path).is_none());
        // Its neighbours are not harmed.
        assert!(reader.key("ControlSet001\\Control\\Session Manager\\KnownDLLs").is_some());
    }
    let value = || "Windows".to_owned();
    let forged =
        clean().with_hive_damage(HiveDamage::ValuePage { key: key(), value: value(), state: Paged::Out }).forge();
    let reader = Reader::new(&forged);
    let systems = reader.key(path).expect("SubSystems");
    assert!(reader.value(systems, "Windows").is_none() && reader.value(systems, "Required").is_some());
    let forged =
        clean().with_hive_damage(HiveDamage::DataPage { key: key(), value: value(), state: Paged::Out }).forge();
    let reader = Reader::new(&forged);
    let (_, cell) = reader.value(reader.key(path).expect("SubSystems"), "Windows").expect("the value itself");
    assert!(reader.cell(cell).is_none());
    let forged = clean().with_hive_damage(HiveDamage::SelfKey { key: key() }).forge();
    let reader = Reader::new(&forged);
    let systems = reader.key(path).expect("SubSystems");
    let found = reader.subkeys(systems);
    assert!(found.contains(&("SubSystems".to_owned(), systems)));
    let length = HiveDamage::DataLength { key: key(), value: value(), length: 0x7fff_ffff };
    let forged =
        clean().with_hive_damage(length).with_hive_damage(HiveDamage::CellSize { key: key(), size: i32::MIN }).forge();
    let reader = Reader::new(&forged);
    assert_eq!(reader.value(reader.key(path).expect("SubSystems"), "Windows").expect("the value").0, 0x7fff_ffff);
}

#[test]
fn hives_of_every_build() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).with_lojax().forge();
        let wanted = Data::MultiSz(vec!["autocheck autochk *".into(), "autocheck autoche *".into()]).stored().1;
        assert!(forged.image.windows(wanted.len()).any(|w| w == wanted), "{build:?}");
        assert_eq!(forged.truth.hives.len(), 2);
    }
}

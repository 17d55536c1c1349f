//! Hive files: real ones, and ones made by hand to be wrong.

use crate::common;
use ntmem::Reading;
use ntmem::registry::{Hive, Key, KeyRecord, RegistryData};

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Keys, values, and the sum of the hashes of `path|name|type|data` of all values.
fn digest(key: &Key<'_>, sums: &mut (usize, usize, u64)) {
    sums.0 += 1;
    let values = key.values();
    assert!(values.is_complete(), "{}: {:?}", key.path(), values.missing);
    for value in values.items {
        sums.1 += 1;
        let mut line = format!("{}|{}|{}|", key.path(), value.name().unwrap(), value.kind().0).into_bytes();
        line.extend(value.bytes().unwrap());
        sums.2 = sums.2.wrapping_add(hash(&line));
    }
    let keys = key.subkeys();
    assert!(keys.is_complete(), "{}: {:?}", key.path(), keys.missing);
    keys.items.iter().for_each(|key| digest(key, sums));
}

#[test]
fn real_hives_hold_what_another_reader_finds() {
    let Some(material) = common::material("real_hives_hold_what_another_reader_finds") else { return };
    // By libhivex 1.3.23.
    for (name, keys, values, sum) in [
        ("NTUSER-WIN7.DAT", 2288, 5470, 0x03ca_9970_c4fd_916c),
        ("regf_100_sub_keys.hiv", 101, 100, 0xb927_bd38_af0a_e76b),
        ("regf_SAM", 76, 84, 0xf375_375f_0614_e826),
        ("winreg_win10-Amcache.hve", 207, 4188, 0x53b9_0d37_d192_ea87),
    ] {
        let bytes = std::fs::read(material.join("real/hives").join(name)).unwrap();
        let hive = Hive::from_file(bytes.clone()).unwrap();
        let mut sums = (0, 0, 0);
        digest(&hive.root().unwrap(), &mut sums);
        assert_eq!(sums, (keys, values, sum), "{name}");
        // Written out, its bins are what they were.
        let mut again = Vec::new();
        let written = hive.write_file(&mut again).unwrap();
        assert_eq!((written.unreadable_blocks, written.rebuilt_header), (0, false));
        let length = again.len().min(bytes.len());
        assert!(again[0x1000..length] == bytes[0x1000..length], "{name}");
    }
}

#[test]
fn a_real_list_with_one_bad_entry_has_the_other_99() {
    let Some(material) = common::material("a_real_list_with_one_bad_entry_has_the_other_99") else { return };
    let bytes = std::fs::read(material.join("real/hives/regf_corrupt_sub_key_list.hiv")).unwrap();
    let hive = Hive::from_file(bytes).unwrap();
    let keys = hive.root().unwrap().subkeys();
    assert_eq!((keys.items.len(), keys.missing.len()), (99, 1));
}

const NIL: u32 = u32::MAX;

/// Makes a hive of one bin.
#[derive(Clone, Default)]
struct Maker(Vec<u8>);

impl Maker {
    /// Adds a cell with its header.
    fn raw_cell(&mut self, size: i32, content: &[u8]) -> u32 {
        let at = self.0.len();
        self.0.extend(size.to_le_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        at as u32 + 0x20
    }

    fn cell(&mut self, content: &[u8]) -> u32 {
        let size = (content.len() + 4).next_multiple_of(8);
        self.raw_cell(-(size as i32), content)
    }

    fn key(&mut self, name: &[u8], flags: u16, keys: (u32, u32), values: (u32, u32)) -> u32 {
        let mut cell = vec![0u8; 0x4c];
        cell[..2].copy_from_slice(b"nk");
        cell[2..4].copy_from_slice(&flags.to_le_bytes());
        cell[4..12].copy_from_slice(&0x01d9_0000_0000_0000u64.to_le_bytes());
        // The volatile ones: what a file says of them means nothing.
        for (at, number) in [
            (0x14, keys.0),
            (0x18, 7),
            (0x1c, keys.1),
            (0x20, 0x8000_0020),
            (0x24, values.0),
            (0x28, values.1),
            (0x30, NIL),
        ] {
            cell[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        cell[0x48..0x4a].copy_from_slice(&(name.len() as u16).to_le_bytes());
        cell.extend(name);
        self.cell(&cell)
    }

    fn plain(&mut self, name: &str, keys: &[u32]) -> u32 {
        let list = if keys.is_empty() { NIL } else { self.list(*b"li", keys) };
        self.key(name.as_bytes(), 0x20, (keys.len() as u32, list), (0, NIL))
    }

    fn list(&mut self, signature: [u8; 2], cells: &[u32]) -> u32 {
        let mut cell = signature.to_vec();
        cell.extend((cells.len() as u16).to_le_bytes());
        for index in cells {
            cell.extend(index.to_le_bytes());
            if matches!(&signature, b"lf" | b"lh") {
                cell.extend([0; 4]);
            }
        }
        self.cell(&cell)
    }

    fn value(&mut self, name: &[u8], flags: u16, kind: u32, length: u32, data: u32) -> u32 {
        let mut cell = b"vk".to_vec();
        cell.extend((name.len() as u16).to_le_bytes());
        for number in [length, data, kind] {
            cell.extend(number.to_le_bytes());
        }
        cell.extend(flags.to_le_bytes());
        cell.extend([0; 2]);
        cell.extend(name);
        self.cell(&cell)
    }

    fn data(&mut self, name: &str, kind: u32, data: &[u8]) -> u32 {
        let cell = self.cell(data);
        self.value(name.as_bytes(), 1, kind, data.len() as u32, cell)
    }

    fn values(&mut self, values: &[u32]) -> (u32, u32) {
        let list: Vec<u8> = values.iter().flat_map(|index| index.to_le_bytes()).collect();
        (values.len() as u32, self.cell(&list))
    }

    fn put(&mut self, cell: u32, at: u32, number: u32) {
        let at = (cell - 0x20 + 4 + at) as usize;
        self.0[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }

    fn bytes(mut self, root: u32) -> Vec<u8> {
        self.0.resize((self.0.len() + 0x20).next_multiple_of(0x1000) - 0x20, 0);
        let mut file = vec![0u8; 0x1000];
        let length = self.0.len() as u32 + 0x20;
        file[..4].copy_from_slice(b"regf");
        for (at, number) in [(4, 1), (8, 1), (0x14, 1), (0x18, 5), (0x20, 1), (0x24, root), (0x28, length)] {
            file[at..at + 4].copy_from_slice(&u32::to_le_bytes(number));
        }
        file.extend(b"hbin\0\0\0\0");
        file.extend(length.to_le_bytes());
        file.extend([0; 0x14]);
        file.extend(self.0);
        file
    }

    fn hive(self, root: u32) -> Hive<'static> {
        Hive::from_file(self.bytes(root)).unwrap()
    }
}

fn reasons(missing: &[ntmem::Absent]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn lists_of_every_form() {
    for form in [*b"lf", *b"lh", *b"li", *b"ri"] {
        let mut maker = Maker::default();
        let leaves = [maker.plain("A", &[]), maker.plain("b", &[])];
        let list = if &form == b"ri" {
            let lists = leaves.map(|leaf| maker.list(*b"li", &[leaf]));
            maker.list(form, &lists)
        } else {
            maker.list(form, &leaves)
        };
        let root = maker.key(b"ROOT", 0x20, (2, list), (0, NIL));
        let hive = maker.hive(root);
        let keys = hive.root().unwrap().subkeys();
        let names: Vec<&str> = keys.items.iter().map(Key::name).collect();
        assert_eq!((names.as_slice(), keys.is_complete()), (["A", "b"].as_slice(), true), "{form:?}");
        assert_eq!(hive.key("a").unwrap().unwrap().path(), "\\A");
        assert!(hive.key("c").unwrap().is_none());
        assert!(hive.key(r"b\c").unwrap().is_none());
    }
}

#[test]
fn lists_in_a_circle_end() {
    // A list of lists that has itself, and a leaf with one key twice.
    let mut maker = Maker::default();
    let leaf = maker.plain("leaf", &[]);
    let twice = maker.list(*b"li", &[leaf, leaf]);
    let ring = maker.list(*b"ri", &[twice, 0, twice]);
    maker.put(ring, 8, ring);
    let root = maker.key(b"ROOT", 0x20, (2, ring), (0, NIL));
    let hive = maker.hive(root);
    let keys = hive.root().unwrap().subkeys();
    assert_eq!(keys.items.len(), 1);
    let why = reasons(&keys.missing);
    assert!(why.contains("in itself") && why.contains("twice") && why.contains("counts 2"), "{why}");
    assert!(hive.key("leaf").unwrap().is_some());
    assert!(hive.key("other").is_err());
}

#[test]
fn a_key_below_itself_ends() {
    let mut maker = Maker::default();
    let list = maker.list(*b"li", &[0]);
    let inner = maker.key(b"inner", 0x20, (1, list), (0, NIL));
    maker.put(list, 4, inner);
    let root = maker.plain("ROOT", &[inner]);
    let hive = maker.hive(root);
    let record = hive.root().unwrap().record(u32::MAX);
    let inner = record.key("inner").value().copied().unwrap();
    assert_eq!(inner.keys.value().unwrap().len(), 0);
    assert!(reasons(&inner.keys_missing).contains("below itself"));
    // By name it can be followed as far as the name goes.
    assert!(hive.key(&r"inner\".repeat(600)).unwrap().is_some());
}

#[test]
fn three_hundred_levels() {
    let mut maker = Maker::default();
    let mut key = maker.plain("k300", &[]);
    for level in (1..300).rev() {
        key = maker.plain(&format!("k{level}"), &[key]);
    }
    let root = maker.plain("ROOT", &[key]);
    let hive = maker.hive(root);
    let path: Vec<String> = (1..=300).map(|level| format!("K{level}")).collect();
    assert_eq!(hive.key(&path.join("\\")).unwrap().unwrap().name(), "k300");
    // A record stops where readers of documents would give up, and says so.
    let record = hive.root().unwrap().record(u32::MAX);
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<KeyRecord>(&text).unwrap(), record);
    let (mut at, mut depth) = (&record, 0);
    while let Some(next) = at.keys.value().and_then(|keys| keys.values().next()) {
        (at, depth) = (next, depth + 1);
    }
    assert!(depth < 60);
    assert!(at.key("anything").absent().is_some());
}

#[test]
fn cells_that_cannot_be() {
    for size in [0, -4, i32::MIN, i32::MAX, -0x10_0000] {
        let mut maker = Maker::default();
        let bad = maker.raw_cell(size, &[b"nk".as_slice(), &[0; 0x60]].concat());
        let root = maker.plain("ROOT", &[bad]);
        let keys = maker.hive(root).root().unwrap().subkeys().missing;
        assert!(reasons(&keys).contains("no size of a cell"), "{size}: {keys:?}");
    }
    for index in [NIL, 0x7fff_fff8, 0x8000_0020, 0x10_0000, 0x0fff, 0] {
        let mut maker = Maker::default();
        let root = maker.plain("ROOT", &[index]);
        let hive = maker.hive(root);
        assert_eq!(hive.root().unwrap().subkeys().missing.len(), 1, "{index:#x}");
        assert!(hive.key("any").is_err(), "{index:#x}");
    }
    for root in [NIL, 0, 8, 0x7fff_ffff] {
        assert!(Maker::default().hive(root).root().is_err());
    }
}

#[test]
fn counts_that_lie() {
    let mut maker = Maker::default();
    let leaf = maker.plain("leaf", &[]);
    let list = maker.list(*b"li", &[leaf]);
    maker.put(list, 0, 0xffff_0000 | u32::from(u16::from_le_bytes(*b"li")));
    let value = maker.data("value", 4, &[1, 0, 0, 0]);
    let values = maker.values(&[value]);
    let root = maker.key(b"ROOT", 0x20, (u32::MAX, list), (u32::MAX, values.1));
    let hive = maker.hive(root);
    let root = hive.root().unwrap();
    let keys = root.subkeys();
    assert_eq!(keys.items.len(), 1);
    assert!(reasons(&keys.missing).contains("a list of 65535 has room for 2"), "{:?}", keys.missing);
    let values = root.values();
    assert_eq!(values.items.len(), 1);
    assert!(!values.is_complete());
    assert!(root.value("value").unwrap().is_some());
    assert!(root.value("other").is_err());
}

fn data_of(hive: &Hive<'_>, name: &str) -> Result<RegistryData, String> {
    let record = hive.root().unwrap().record(0);
    match record.data(name) {
        Reading::Value(data) => Ok(data.clone()),
        Reading::Absent(why) => Err(why.to_string()),
        Reading::Nothing => Err("nothing".to_owned()),
    }
}

#[test]
fn data_in_pieces() {
    let long: Vec<u8> = (0..70_000u32).map(|n| (n % 251) as u8).collect();
    let make = |count: u16, pieces: usize, length: u32| {
        let mut maker = Maker::default();
        let cells: Vec<u32> = long.chunks(16344).take(pieces).map(|piece| maker.cell(piece)).collect();
        let (_, list) = maker.values(&cells);
        let mut head = b"db".to_vec();
        head.extend(count.to_le_bytes());
        head.extend(list.to_le_bytes());
        let head = maker.cell(&head);
        let value = maker.value(b"long", 1, 3, length, head);
        let values = maker.values(&[value]);
        let root = maker.key(b"ROOT", 0x20, (0, NIL), values);
        maker.hive(root)
    };
    assert_eq!(data_of(&make(5, 5, 70_000), "long"), Ok(RegistryData::Bytes(long.clone())));
    for (lie, why) in [
        (make(4, 5, 70_000), "lack"),
        (make(5, 2, 70_000), "room"),
        (make(5, 5, 90_000), "more than"),
        (make(5, 5, 0x7fff_ffff), "more than"),
    ] {
        let told = data_of(&lie, "long").unwrap_err();
        assert!(told.starts_with("unparsable") && told.contains(why), "{told}");
    }
    // Before version 1.4 of the format, one cell has them all.
    let mut maker = Maker::default();
    let value = maker.data("long", 3, &long);
    let values = maker.values(&[value]);
    let root = maker.key(b"ROOT", 0x20, (0, NIL), values);
    assert_eq!(data_of(&maker.hive(root), "long"), Ok(RegistryData::Bytes(long)));
}

#[test]
fn odd_values() {
    let mut maker = Maker::default();
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let values = [
        // Inline, and 5 bytes where 4 have room.
        maker.value(b"inline", 1, 4, 0x8000_0004, 0x1234),
        maker.value(b"inline 5", 1, 3, 0x8000_0005, 0),
        maker.value(b"none", 1, 0, 0x8000_0000, 0),
        // More bytes than the cell has.
        maker.value(b"too long", 1, 1, 0x1000, 0x20),
        maker.value(b"lost", 1, 1, 8, 0x7000_0000),
        maker.data("link", 6, &wide(r"\Registry\Machine")),
        maker.data("big-endian", 5, &[0, 0, 1, 2]),
        maker.data("quad", 11, &[1, 0, 0, 0, 0, 0, 0, 0x80]),
        maker.data("lone", 1, &[0x41, 0, 0, 0xd8, 0, 0]),
        maker.data("resource", 8, &[1, 2]),
        maker.data("own", 0x1234, &[0xab]),
        maker.value(b"", 0, 4, 0x8000_0004, 5),
        // A second one of a name is not the one that counts.
        maker.data("INLINE", 4, &[9, 0, 0, 0]),
        // Latin-1, and UTF-16 with half a pair.
        maker.value(&[0xe9], 1, 4, 0x8000_0004, 6),
        maker.value(&[0x00, 0xd8, 0x42, 0], 0, 4, 0x8000_0004, 7),
    ];
    let values = maker.values(&values);
    let root = maker.key(b"ROOT", 0x20, (0, NIL), values);
    let hive = maker.hive(root);
    let record = hive.root().unwrap().record(0);
    let document = serde_json::to_value(&record).unwrap();
    let data = |name: &str| document["values"][name]["data"].clone();
    for (name, expected) in [
        ("inline", "0x00001234"),
        ("none", ""),
        ("link", r"\Registry\Machine"),
        ("big-endian", "0x00000102"),
        ("quad", "0x8000000000000001"),
        ("lone", "A\\ud800"),
        ("resource", "0102"),
        ("own", "ab"),
        ("", "0x00000005"),
        ("é", "0x00000006"),
        ("\\ud800B", "0x00000007"),
    ] {
        assert_eq!(data(name), expected, "{name:?}: {document}");
    }
    assert_eq!(document["values"]["own"]["type"], "0x00001234");
    for name in ["inline 5", "too long", "lost"] {
        assert!(data(name).is_null() && record.data(name).absent().is_some(), "{name}");
    }
    assert!(
        record.notes.iter().any(|note| note.contains("INLINE") && note.contains("0x00000009")),
        "{:?}",
        record.notes
    );
    assert!(record.data("Inline").value().is_some());
    assert!(record.data("not there").is_nothing());
}

#[test]
fn any_byte_may_be_wrong() {
    let mut maker = Maker::default();
    let value = maker.data("value", 7, &[0x41, 0, 0, 0, 0, 0]);
    let values = maker.values(&[value]);
    let leaves = [maker.key(b"leaf", 0x20, (0, NIL), values), maker.plain("other", &[])];
    let list = maker.list(*b"lf", &leaves);
    let top = maker.list(*b"ri", &[list]);
    let root = maker.key(b"ROOT", 0x20, (2, top), (0, NIL));
    let used = maker.0.len() + 0x1020;
    let intact = maker.bytes(root);
    for at in (0..0x30).chain(0x1000..used) {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = intact.clone();
            bytes[at] = byte;
            let Ok(hive) = Hive::from_file(bytes) else { continue };
            if let Ok(root) = hive.root() {
                let record = root.record(u32::MAX);
                // Whatever it is, it can be written down and read.
                let text = serde_json::to_string(&record).unwrap();
                assert_eq!(serde_json::from_str::<KeyRecord>(&text).unwrap(), record, "{at:#x}");
            }
            let _ = hive.write_file(&mut std::io::sink());
        }
    }
}

#[test]
fn class_names_and_free_cells() {
    let mut maker = Maker::default();
    let class = maker.cell(&[b'a', 0, b'b', 0, b'c', 0]);
    let key = maker.plain("key", &[]);
    maker.put(key, 0x30, class);
    maker.put(key, 0x48, 3 | 4 << 16);
    let lost = maker.plain("lost", &[]);
    maker.put(lost, 0x30, 0x7000_0000);
    maker.put(lost, 0x48, 4 | 2 << 16);
    let free = maker.plain("free", &[]);
    let size = i32::from_le_bytes(maker.0[free as usize - 0x20..][..4].try_into().unwrap());
    maker.0[free as usize - 0x20..][..4].copy_from_slice(&(-size).to_le_bytes());
    let root = maker.plain("ROOT", &[key, lost, free]);
    let hive = maker.hive(root);
    let record = hive.root().unwrap().record(1);
    let key = |name: &str| record.key(name).value().copied().unwrap();
    assert_eq!(key("key").class.value().map(String::as_str), Some("ab"));
    assert!(record.class.is_nothing());
    assert!(key("lost").class.absent().is_some());
    // The kernel does not look at the mark, so a cell is no less there for it.
    assert_eq!((key("free").notes.len(), key("key").notes.len()), (1, 0));
}

//! PE32+ headers (Microsoft, "PE Format").

/// A section: name, start, bytes, characteristics.
pub type Section = (&'static str, u32, u32, u32);

/// What headers say.
#[derive(Clone, Debug)]
pub struct Image {
    /// `ImageBase`.
    pub base: u64,
    /// `SizeOfImage`.
    pub size: u32,
    /// `AddressOfEntryPoint`.
    pub entry: u32,
    /// `TimeDateStamp`.
    pub stamp: u32,
    /// 1 native, 2 window, 3 console.
    pub subsystem: u16,
    /// Whether it is a DLL.
    pub dll: bool,
    /// Data directories: slot, address, size.
    pub directories: Vec<(usize, u32, u32)>,
    /// Sections.
    pub sections: Vec<Section>,
}

/// Code: contains code, can be run, can be read.
pub const CODE: u32 = 0x6000_0020;
/// Initialised data, read only.
pub const READ_ONLY: u32 = 0x4000_0040;
/// Initialised data, read and written.
pub const DATA: u32 = 0xc000_0040;

impl Image {
    /// The first page.
    #[must_use]
    pub fn headers(&self) -> Vec<u8> {
        let mut out = vec![0; 0x1000];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0\x40");
        put(0x3c, &0x100u32.to_le_bytes());
        let pe = 0x100;
        put(pe, b"PE\0\0");
        let machine = 0x8664u16;
        put(pe + 4, &machine.to_le_bytes());
        put(pe + 6, &(self.sections.len() as u16).to_le_bytes());
        put(pe + 8, &self.stamp.to_le_bytes());
        put(pe + 20, &0xf0u16.to_le_bytes());
        put(pe + 22, &(0x22u16 | if self.dll { 0x2000 } else { 0 }).to_le_bytes());
        let opt = pe + 24;
        put(opt, &0x20bu16.to_le_bytes());
        put(opt + 2, &[14, 20]);
        put(opt + 16, &self.entry.to_le_bytes());
        put(opt + 20, &0x1000u32.to_le_bytes());
        put(opt + 24, &self.base.to_le_bytes());
        put(opt + 32, &0x1000u32.to_le_bytes());
        put(opt + 36, &0x200u32.to_le_bytes());
        put(opt + 40, &10u16.to_le_bytes());
        put(opt + 44, &10u16.to_le_bytes());
        put(opt + 48, &10u16.to_le_bytes());
        put(opt + 56, &self.size.to_le_bytes());
        put(opt + 60, &0x400u32.to_le_bytes());
        put(opt + 68, &self.subsystem.to_le_bytes());
        put(opt + 70, &0x4160u16.to_le_bytes());
        put(opt + 72, &0x8_0000u64.to_le_bytes());
        put(opt + 80, &0x2000u64.to_le_bytes());
        put(opt + 88, &0x10_0000u64.to_le_bytes());
        put(opt + 96, &0x1000u64.to_le_bytes());
        put(opt + 108, &16u32.to_le_bytes());
        for (slot, rva, size) in &self.directories {
            put(opt + 112 + slot * 8, &rva.to_le_bytes());
            put(opt + 116 + slot * 8, &size.to_le_bytes());
        }
        for (n, (name, rva, size, flags)) in self.sections.iter().enumerate() {
            let at = opt + 240 + n * 40;
            put(at, name.as_bytes());
            put(at + 8, &size.to_le_bytes());
            put(at + 12, &rva.to_le_bytes());
            put(at + 16, &size.next_multiple_of(0x200).to_le_bytes());
            put(at + 20, &rva.to_le_bytes());
            put(at + 36, &flags.to_le_bytes());
        }
        out
    }
}

/// A CodeView record (`RSDS`) for a PDB: signature, GUID in memory order, age, name.
///
/// # Panics
/// When `guid` is not 32 hex digits.
#[must_use]
pub fn codeview(guid: &str, age: u32, name: &str) -> Vec<u8> {
    let byte = |n: usize| u8::from_str_radix(&guid[n * 2..n * 2 + 2], 16).expect("hex digits");
    let mut out = b"RSDS".to_vec();
    // Data1, Data2 and Data3 are numbers, stored little-endian.
    out.extend([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(byte));
    out.extend_from_slice(&age.to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out
}

/// An export directory for these names, to be placed at `at` (all addresses relative to the image).
#[must_use]
pub fn exports(at: u32, module: &str, names: &[(String, u32)]) -> Vec<u8> {
    let mut sorted = names.to_vec();
    sorted.sort();
    let n = sorted.len() as u32;
    let (functions, pointers) = (at + 40, at + 40 + n * 4);
    let ordinals = pointers + n * 4;
    let mut strings = ordinals + n * 2;
    let mut text = Vec::new();
    let mut place = |s: &str| {
        let here = strings;
        text.extend_from_slice(s.as_bytes());
        text.push(0);
        strings += s.len() as u32 + 1;
        here
    };
    let module = place(module);
    let names: Vec<u32> = sorted.iter().map(|(s, _)| place(s)).collect();
    let mut out = Vec::new();
    for word in [0, 0, 0, module, 1, n, n, functions, pointers, ordinals] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    sorted.iter().for_each(|(_, rva)| out.extend_from_slice(&rva.to_le_bytes()));
    names.iter().for_each(|rva| out.extend_from_slice(&rva.to_le_bytes()));
    (0..n as u16).for_each(|i| out.extend_from_slice(&i.to_le_bytes()));
    out.extend_from_slice(&text);
    out
}

//! Makes small PDBs, byte by byte, without any of the library's code.

const PAGE: usize = 512;
/// Of every PDB made here.
pub const GUID: &str = "00112233445566778899AABBCCDDEEFF";

/// Joins byte strings and little-endian numbers.
#[macro_export]
macro_rules! bytes {
    ($($part:expr),* $(,)?) => {{
        use $crate::made::Part;
        let mut all: Vec<u8> = Vec::new();
        $(all.extend_from_slice(&Part::bytes(&$part));)*
        all
    }};
}

pub trait Part {
    fn bytes(&self) -> Vec<u8>;
}
impl Part for u8 {
    fn bytes(&self) -> Vec<u8> {
        vec![*self]
    }
}
impl Part for u16 {
    fn bytes(&self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
}
impl Part for u32 {
    fn bytes(&self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
}
impl Part for &str {
    /// With its NUL.
    fn bytes(&self) -> Vec<u8> {
        [self.as_bytes(), &[0]].concat()
    }
}
impl Part for Vec<u8> {
    fn bytes(&self) -> Vec<u8> {
        self.clone()
    }
}

/// A multi-stream file.
fn container(streams: &[Vec<u8>]) -> Vec<u8> {
    let mut pages: Vec<u8> = vec![0; 3 * PAGE];
    let mut store = |bytes: &[u8]| -> Vec<u32> {
        let numbers = bytes.chunks(PAGE).map(|chunk| {
            let number = pages.len() / PAGE;
            pages.extend_from_slice(chunk);
            pages.resize((number + 1) * PAGE, 0);
            number as u32
        });
        numbers.collect()
    };
    let lists: Vec<Vec<u32>> = streams.iter().map(|stream| store(stream)).collect();
    let mut directory = bytes![streams.len() as u32];
    directory.extend(streams.iter().flat_map(|stream| (stream.len() as u32).to_le_bytes()));
    directory.extend(lists.iter().flatten().flat_map(|page| page.to_le_bytes()));
    let listed: Vec<u8> = store(&directory).iter().flat_map(|page| page.to_le_bytes()).collect();
    let map = store(&listed);
    let mut header = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0".to_vec();
    let count = pages.len().div_ceil(PAGE).max(9999) as u32;
    header.extend(bytes![PAGE as u32, 1u32, count, directory.len() as u32, 0u32]);
    header.extend(map.iter().flat_map(|page| page.to_le_bytes()));
    pages[..header.len()].copy_from_slice(&header);
    pages.resize(pages.len().max(4096), 0);
    pages
}

/// What goes into a PDB.
#[derive(Default)]
pub struct Made {
    pub types: Vec<Vec<u8>>,
    /// Section, offset, name.
    pub publics: Vec<(u16, u32, &'static str)>,
    /// Where linkers that move code say from where to where, and the sections before that.
    pub moved: Option<Vec<(u32, u32)>>,
    /// Size that the debug header says its list of modules has.
    pub modules: u32,
}

impl Made {
    pub fn pdb(&self) -> Vec<u8> {
        let guid = bytes![0x0011_2233u32, 0x4455u16, 0x6677u16, vec![0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]];
        // The age here is 7 and must not count.
        let info = bytes![20_000_404u32, 1u32, 7u32, guid, vec![0; 32]];
        let records: Vec<u8> = self.types.iter().flat_map(|it| bytes![it.len() as u16, it.clone()]).collect();
        let last = 0x1000 + self.types.len() as u32;
        let types = bytes![20_040_203u32, 56u32, 0x1000u32, last, records.len() as u32, vec![0; 36], records];
        let none = 0xffffu16;
        let (map, original) = if self.moved.is_some() { (6, 7) } else { (none, none) };
        let streams = bytes![none, none, none, map, map, 5u16, none, none, none, none, original];
        let debug = bytes![
            u32::MAX,
            19_990_903u32,
            3u32,
            none,
            0u16,
            none,
            0u16,
            4u16,
            0u16, // age 3; publics in stream 4
            self.modules,
            0u32,
            0u32,
            0u32,
            0u32,
            0u32,
            streams.len() as u32,
            0u32,
            0u16,
            0x8664u16,
            0u32,
            streams
        ];
        let public = |(section, offset, name): &(u16, u32, &str)| {
            let record = bytes![0x110eu16, 0u32, *offset, *section, *name];
            bytes![record.len() as u16, record]
        };
        let publics = self.publics.iter().flat_map(public).collect();
        let section = |address: u32| bytes![vec![b'.'; 8], 0x1000u32, address, 0x1000u32, vec![0; 20]];
        let sections = [section(0x1000), section(0x5000)].concat();
        let map = self.moved.iter().flatten().flat_map(|(from, to)| bytes![*from, *to]).collect();
        container(&[vec![], info, types, debug, publics, sections.clone(), map, sections])
    }
}

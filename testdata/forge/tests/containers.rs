//! Containers against their published layouts.

use ntmem_forge::{Build, Core, DumpType, Scenario};

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

#[test]
fn a_full_dump_holds_its_runs() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let dump = forged.as_crash_dump(DumpType::Full);
    assert_eq!(&dump[..8], b"PAGEDU64");
    assert_eq!((u32_at(&dump, 0x88), u64_at(&dump, 0x98), u64_at(&dump, 0xa0)), (2, 1, 0x9e));
    assert_eq!(u64_at(&dump, 0x90) as usize * 4096 + 0x2000, dump.len());
    assert_eq!(u32_at(&dump, 0xf98), 1);
    // The second run begins where the first ends in the file.
    assert_eq!(dump[0x2000 + 0x9e * 4096..][..4096], forged.image[0x10_0000..][..4096]);
}

#[test]
fn a_bitmap_dump_holds_the_pages_its_bits_name() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    for (kind, signature) in [(DumpType::Bitmap, b"FDMPDUMP"), (DumpType::KernelBitmap, b"SDMPDUMP")] {
        let dump = forged.as_crash_dump(kind);
        assert_eq!(&dump[0x2000..0x2008], signature);
        let (first, present, pages) = (u64_at(&dump, 0x2020), u64_at(&dump, 0x2028), u64_at(&dump, 0x2030));
        assert_eq!(pages, 0x500);
        assert_eq!(dump.len() as u64, first + present * 4096);
        let set: Vec<u64> = (0..pages).filter(|n| dump[0x2038 + *n as usize / 8] >> (n % 8) & 1 == 1).collect();
        assert_eq!(set.len() as u64, present);
        for (n, page) in set.iter().enumerate() {
            let at = first as usize + n * 4096;
            assert_eq!(dump[at..at + 4096], forged.image[*page as usize * 4096..][..4096]);
        }
        // System's root is there; a PEB only in the bitmap of all memory.
        assert!(set.contains(&(forged.truth.dtb / 4096)));
        let user = forged.user_frames.iter().next().expect("user memory");
        assert_eq!(set.contains(user), kind == DumpType::Bitmap);
    }
}

#[test]
fn lime_and_elf_hold_the_runs() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let lime = forged.as_lime();
    assert_eq!((u32_at(&lime, 0), u64_at(&lime, 8), u64_at(&lime, 16)), (0x4c69_4d45, 0x1000, 0x9_efff));
    let elf = forged.as_elf_core(Core::Plain);
    let (offset, physical) = (u64_at(&elf, 0xc0 + 56 + 8) as usize, u64_at(&elf, 0xc0 + 56 + 24) as usize);
    assert_eq!(elf[offset..offset + 4096], forged.image[physical..physical + 4096]);
}

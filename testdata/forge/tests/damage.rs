//! Each departure leaves the traces in memory that a reader has to cope with.

use ntmem_forge::{Build, Damage, Headers, Impostor, KernelPages, Paged, Scenario, Time};

const LINK: u64 = 0x448;
const MASK: u64 = 0x000f_ffff_ffff_f000;

fn word(image: &[u8], at: u64) -> u64 {
    u64::from_le_bytes(image[at as usize..at as usize + 8].try_into().expect("8 bytes"))
}

/// The last entry of a page walk, present or not, with the size of what it maps.
fn entry(image: &[u8], root: u64, va: u64) -> (u64, u64) {
    let mut table = root;
    for shift in [39, 30, 21, 12] {
        let entry = word(image, table + (va >> shift & 0x1ff) * 8);
        if shift == 12 || entry & 1 == 0 || shift < 39 && entry & 0x80 != 0 {
            return (entry, 1 << shift);
        }
        table = entry & MASK;
    }
    unreachable!("a walk ends at the page table")
}

fn clean() -> Scenario {
    Scenario::clean(Build::W10_19045)
}

#[test]
fn torn_links_lead_nowhere() {
    let forged = clean().with_torn_flink(664).with_torn_blink(684).forge();
    let at = |pid| forged.truth.process(pid).expect("listed").physical + LINK;
    assert_eq!(word(&forged.image, at(664)), 0xffff_9999_dead_0000);
    assert_eq!(word(&forged.image, at(684) + 8), 0xffff_9999_dead_0000);
    // The other direction still runs across.
    assert_eq!(word(&forged.image, at(664) + 8) - LINK, forged.truth.process(616).expect("listed").eprocess);
}

#[test]
fn a_cycle_never_meets_the_head() {
    let mut scenario = clean();
    scenario.damage.push(Damage::ListCycle { from: 1480, to: 664 });
    let forged = scenario.forge();
    let (from, to) = (forged.truth.process(1480).expect("listed"), forged.truth.process(664).expect("listed"));
    assert_eq!(word(&forged.image, from.physical + LINK), to.eprocess + LINK);
}

#[test]
fn invalid_entries_are_stored_as_windows_stores_them() {
    let entry_of = |state| {
        let forged = clean().with_peb(348, state).forge();
        let smss = forged.truth.process(348).expect("smss").clone();
        let (entry, _) = entry(&forged.image, smss.dtb, smss.peb.expect("has a PEB"));
        (entry, smss.peb_readable, forged)
    };
    // A transition entry as issue 475 of Volatility 3 prints one: 0x2000060533860 is frame 0x60533 with bit 45.
    let (entry, readable, forged) = entry_of(Paged::Transition);
    assert!(readable);
    assert_eq!(entry & 0xfff & !0x3e0, 0x800);
    assert_eq!(entry >> 45, 1);
    let frame = entry & MASK & !(1 << 45);
    assert_eq!(Some(word(&forged.image, frame + 0x10)), forged.truth.process(348).expect("smss").image_base);
    // In the page file: swizzled by the mask, or marked as not.
    let (entry, readable, _) = entry_of(Paged::Out);
    assert!(!readable);
    assert_eq!((entry ^ 1 << 45) >> 32, 0x4711);
    let (entry, ..) = entry_of(Paged::OutSwizzled);
    assert_eq!((entry >> 32, entry & 0x10), (0xffff_2345, 0x10));
    let (entry, ..) = entry_of(Paged::DemandZero);
    assert_eq!(entry ^ 1 << 45, 0x80);
    let (entry, ..) = entry_of(Paged::Unmapped);
    assert_eq!(entry, 0);
    // A prototype: bit 10, and the address of an entry that has the frame.
    let (entry, readable, forged) = entry_of(Paged::Prototype);
    assert!(readable);
    assert_eq!(entry & 0xc01, 0x400);
    let entry = if entry & 0x10 == 0 { entry ^ 1 << 45 } else { entry };
    let at = 0xffff_0000_0000_0000 | entry >> 16;
    let (pte, _) = self::entry(&forged.image, forged.truth.dtb, at);
    let prototype = word(&forged.image, (pte & MASK) + at % 4096);
    assert_eq!(prototype & 1, 1);
    assert_eq!(
        Some(word(&forged.image, (prototype & MASK) + 0x10)),
        forged.truth.process(348).expect("smss").image_base
    );
}

#[test]
fn a_page_table_can_be_in_transition() {
    let mut scenario = clean();
    scenario.process(348).user.as_mut().expect("user memory").peb_table = Paged::Transition;
    let forged = scenario.forge();
    let smss = forged.truth.process(348).expect("smss");
    let (directory, size) = entry(&forged.image, smss.dtb, smss.peb.expect("has a PEB"));
    assert_eq!((directory & 0xc01, size), (0x800, 1 << 21));
    let table = directory & MASK & !(1 << 45);
    let page = word(&forged.image, table + (smss.peb.expect("has a PEB") >> 12 & 0x1ff) * 8);
    assert_eq!(page & 1, 1);
    assert_eq!(Some(word(&forged.image, (page & MASK) + 0x10)), smss.image_base);
}

#[test]
fn memory_above_four_gigabytes() {
    let mut scenario = clean();
    scenario.memory = vec![0x1000..0x9_f000, 0x20_0000..0x28_0000, 0x1_0000_0000..0x1_0040_0000];
    scenario.paging.system_dtb = 0x1_0012_3000;
    let forged = scenario.forge_frames();
    assert!(forged.image.is_empty());
    assert!(forged.truth.processes.iter().any(|p| p.physical >> 32 == 1));
    let dump = forged.as_crash_dump(ntmem_forge::DumpType::Full);
    assert_eq!(dump.len(), 0x2000 + 0x9_e000 + 0x8_0000 + 0x40_0000);
    let root = 0x2000 + 0x9_e000 + 0x8_0000 + 0x12_3000;
    assert_eq!(word(&dump, root + 0x1a5 * 8) & MASK, 0x1_0012_3000);
}

#[test]
fn kernel_pages_of_every_size() {
    for (pages, span) in [(KernelPages::Small, 1 << 12), (KernelPages::Large, 1 << 21)] {
        let mut scenario = clean();
        scenario.kernel.pages = pages;
        if pages == KernelPages::Large {
            scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x200_0000];
        }
        let forged = scenario.forge();
        let (entry, size) = entry(&forged.image, forged.truth.dtb, forged.truth.kernel_base);
        assert_eq!(size, span);
        let at = (entry & MASK & !(size - 1)) + forged.truth.kernel_base % size;
        assert_eq!(&forged.image[at as usize..at as usize + 2], b"MZ");
    }
}

#[test]
fn headers_and_low_stub_can_be_missing() {
    let mut scenario = clean();
    scenario.kernel.headers = Headers::PagedOut;
    scenario.paging.low_stub = None;
    let forged = scenario.forge();
    assert_eq!(entry(&forged.image, forged.truth.dtb, forged.truth.kernel_base).0 & 1, 0);
    assert!(forged.image[..0x9_f000].iter().all(|&b| b == 0));
    let mut scenario = clean();
    scenario.kernel.headers = Headers::Zeroed;
    let forged = scenario.forge();
    assert_eq!(word(&forged.image, forged.truth.kernel_physical), 0);
}

#[test]
fn holes_are_no_memory() {
    let mut scenario = clean();
    scenario.damage.push(Damage::EprocessHole { pid: 804 });
    scenario.tail_bytes = 1234;
    let forged = scenario.forge();
    let gone = forged.truth.process(804).expect("in the truth").physical;
    assert!(!forged.truth.runs.iter().any(|r| r.contains(&gone)));
    assert_eq!(forged.truth.runs.len(), 3);
    assert_eq!(forged.image.len() as u64 % 4096, 1234);
    assert_eq!(forged.truth.bytes, forged.image.len() as u64);
}

#[test]
fn any_self_reference_and_root() {
    let mut scenario = clean();
    scenario.paging.self_reference = 0x1fe;
    scenario.paging.system_dtb = 0x3f_f000;
    scenario.paging.root_flags = 2;
    let forged = scenario.forge();
    assert_eq!(forged.truth.dtb, 0x3f_f000);
    assert_eq!(word(&forged.image, 0x3f_f000 + 0x1fe * 8) & MASK, 0x3f_f000);
    let system = forged.truth.process(4).expect("System");
    assert_eq!(word(&forged.image, system.physical + 0x28), 0x3f_f002);
}

#[test]
fn every_variant_can_be_forged_on_every_build() {
    for build in Build::ALL {
        let base = || Scenario::clean(build);
        let mut list = vec![
            base().with_exited_session_children(),
            base().with_young_session_child(),
            base().with_hollowed_smss(),
            base().with_unlinked(804),
            base().with_reused_ids(),
            base().with_parent_ring(),
            base().with_clock_step(3600),
            Scenario::clean_at(build, "D:\\WINNT"),
        ];
        if build.has_silos() {
            list.push(base().with_silo());
        }
        for kind in [Impostor::Path, Impostor::User, Impostor::Wow64, Impostor::Late, Impostor::All] {
            list.push(base().with_impostor(kind));
        }
        for scenario in list {
            let forged = scenario.forge();
            assert_eq!(forged.truth.processes.len(), scenario.processes.len());
        }
    }
}

#[test]
fn ids_are_reused_within_a_second() {
    let forged = clean().with_reused_ids().forge();
    let (svchost, csrss) = (forged.truth.process(444).expect("new owner"), forged.truth.process(452).expect("csrss"));
    assert_eq!(csrss.ppid, 444);
    let second = |t: Time| t.0 / 10_000_000;
    assert_eq!(second(svchost.created), second(csrss.created));
    assert!(svchost.created > csrss.created);
}

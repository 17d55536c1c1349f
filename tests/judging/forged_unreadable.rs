//! What an edit takes from the reader: a rule that was kept from looking never passes.

use crate::common::edited::{Edited, NO_EXECUTE, WRITE};
use crate::forged_edits::{BUILDS, CSRSS, MASTER, RANGE, USERS, clean, judged, with_range};
use ntmem::checks::{Confidence, Judgement};
use ntmem::{Severity, Verdict, check_smss};
use ntmem_forge::{Behind, Build, Scenario};

const WINLOGON: u64 = crate::forged_edits::WINLOGON;

fn root(build: Build) -> &'static str {
    if build == Build::W7_7601 { "VadRoot.BalancedRoot.RightChild" } else { "VadRoot.Root" }
}

/// A process whose private memory runs, with a thread that starts there.
fn with_code(build: Build, pid: u64) -> Edited {
    let mut edited = with_range(build, pid);
    edited.edit_entry(pid, RANGE, |entry| (entry & !NO_EXECUTE) | WRITE);
    let thread = edited.threads(pid)[1];
    edited.put(thread, "_ETHREAD", "StartAddress", RANGE);
    edited.put(thread, "_ETHREAD", "Win32StartAddress", RANGE);
    edited
}

#[test]
fn code_beside_a_memory_map_that_was_spoilt() {
    for build in BUILDS {
        for pid in [MASTER, CSRSS, WINLOGON] {
            assert_eq!(judged(&with_code(build, pid)).verdict, Verdict::Violations, "{build:?} {pid}");
            // Nothing, what is no address, and where nothing is.
            for value in [0, 3, 0xffff_f00d_dead_0000] {
                let mut edited = with_code(build, pid);
                edited.put_in(pid, root(build), value);
                let findings = judged(&edited);
                assert_ne!(findings.verdict, Verdict::Clean, "{build:?} {pid} {value:#x}");
            }
            let mut edited = with_code(build, pid);
            let around = edited.process(pid).eprocess + edited.offset("_EPROCESS", root(build)) - 0x80;
            edited.write(around, &[0; 0x110]);
            assert_ne!(judged(&edited).verdict, Verdict::Clean, "{build:?} {pid}: and what lies around");
        }
    }
}

#[test]
fn no_image_where_a_process_should_have_its_own() {
    for build in BUILDS {
        for pid in [CSRSS, WINLOGON] {
            for base in [RANGE, 0x1_4000_0000] {
                let mut edited = with_range(build, pid);
                let peb = edited.process(pid).peb.unwrap();
                edited.put_in(pid, "SectionBaseAddress", base);
                let at = edited.physical(edited.process(pid).dtb, peb) + edited.offset("_PEB", "ImageBaseAddress");
                edited.put_u64_at(at, base);
                let findings = judged(&edited);
                let found = findings.of("SYS-16").any(|o| o.pid == Some(pid) && o.severity == Some(Severity::High));
                assert!(found, "{build:?} {pid} {base:#x}");
            }
        }
    }
}

/// A page in the place of a PEB that is another process's names that process's image: it accuses nobody, and nothing is clean.
#[test]
fn the_peb_of_another() {
    for build in BUILDS {
        for (pid, other) in [(MASTER, CSRSS), (CSRSS, WINLOGON), (WINLOGON, MASTER)] {
            let mut edited = clean(build);
            let page = |edited: &Edited, pid: u64| {
                let process = edited.process(pid);
                usize::try_from(edited.physical(process.dtb, process.peb.unwrap()) & !0xfff).unwrap()
            };
            let (to, from) = (page(&edited, pid), page(&edited, other));
            edited.bytes.copy_within(from..from + 0x1000, to);
            assert_eq!(judged(&edited).verdict, Verdict::Inconclusive, "{build:?} {pid}");
        }
    }
}

#[test]
fn a_token_that_is_none() {
    for build in BUILDS {
        for pid in [CSRSS, WINLOGON] {
            for value in [0, 0xffff_f00d_dead_0000] {
                let mut edited = clean(build);
                edited.put_in(pid, "Token", value);
                assert_ne!(judged(&edited).verdict, Verdict::Clean, "{build:?} {pid} {value:#x}");
            }
        }
    }
}

/// The table of a process that says that it has none is in the kernel's list of all tables.
#[test]
fn a_handle_table_that_its_process_disowns() {
    for build in BUILDS {
        let holding = |pid: u64| {
            let mut scenario = Scenario::clean(build);
            scenario.process(USERS).opens.push((pid, 0x1f_ffff));
            Edited::new(&scenario)
        };
        for (pid, id) in [(MASTER, "SMSS-022"), (CSRSS, "SYS-12")] {
            let worst =
                |edited: &Edited| judged(edited).of(id).filter(|o| o.pid == Some(pid)).filter_map(|o| o.severity).max();
            let mut edited = holding(pid);
            let open = worst(&edited);
            assert!(open > Some(Severity::Info), "{build:?} {pid}: {open:?}");
            edited.put_in(USERS, "ObjectTable", 0);
            // Newer builds have no list of them.
            if edited.global("HandleTableListHead").is_some() {
                assert_eq!(worst(&edited), open, "{build:?} {pid}");
            } else {
                let findings = judged(&edited);
                let whole = |o: &ntmem::Outcome| o.outcome == Judgement::Pass && o.confidence == Some(Confidence::High);
                assert!(!findings.of(id).any(whole), "{build:?} {pid}");
            }
        }
    }
}

/// One byte of the kernel's data decides which type each object is of. The headers of processes outvote it.
#[test]
fn a_cookie_that_was_lost() {
    for build in [Build::W10_14393, Build::W10_17763, Build::W10_19045, Build::W11_26100] {
        let at = clean(build).global("ObHeaderCookie").unwrap();
        for change in 1..64u8 {
            let mut edited = clean(build);
            let physical = usize::try_from(edited.physical(edited.forged.truth.dtb, at)).unwrap();
            edited.bytes[physical] ^= change;
            assert_eq!(judged(&edited).verdict, Verdict::Clean, "{build:?} {change:#x}");
        }
    }
}

/// Windows lets user mode reach nothing in the kernel's half of an address space.
#[test]
fn code_for_user_mode_in_the_half_of_the_kernel() {
    for build in BUILDS {
        for pid in [MASTER, CSRSS] {
            let mut edited = with_range(build, pid);
            let dtb = edited.process(pid).dtb;
            // The tables of a range of its own, from a slot of the upper half that nothing uses; the page runs.
            edited.edit_entry(pid, RANGE, |entry| entry & !NO_EXECUTE | 4);
            let own = edited.u64_at(dtb + (RANGE >> 39 & 511) * 8);
            let free = (0x110..0x1f0).find(|slot| edited.u64_at(dtb + slot * 8) == 0).unwrap();
            edited.put_u64_at(dtb + free * 8, own & !NO_EXECUTE | 4);
            let findings = check_smss(&edited.system(false));
            let id = if pid == MASTER { "SMSS-018" } else { "SYS-11" };
            let is_told = findings.of(id).any(|o| o.pid == Some(pid) && (o.counts() || o.decides));
            assert!(is_told, "{build:?} {pid}");
            assert_ne!(findings.verdict, Verdict::Clean, "{build:?} {pid}");
        }
    }
}

/// The page with `InvalidPteMask` is gone, and pages are in the compressed store: no other page is read for one of them.
#[test]
fn a_mask_that_was_lost() {
    for build in [Build::W10_14393, Build::W10_17763, Build::W10_19045, Build::W11_26100] {
        let mut edited = Edited::new(&Scenario::clean(build).behind(Behind::Store));
        let of_state = |edited: &Edited| {
            edited.global("MiState").unwrap() + edited.offset("_MI_SYSTEM_INFORMATION", "Hardware.InvalidPteMask")
        };
        let at = edited.global("MiInvalidPteMask").unwrap_or_else(|| of_state(&edited));
        assert_ne!(edited.pointer(at), 0, "{build:?}");
        edited.write(at & !0xfff, &[0; 4096]);
        let findings = judged(&edited);
        let counted: Vec<String> = findings.violations().filter(|o| o.counts()).map(ToString::to_string).collect();
        assert!(counted.is_empty(), "{build:?}: {counted:#?}");
    }
}

/// Memory combining leads private memory to prototype entries, whose own rights the process's entry does not take.
#[test]
fn private_memory_behind_a_prototype_entry() {
    for build in [Build::W10_14393, Build::W10_17763, Build::W10_19045, Build::W11_26100] {
        for (protection, runs) in [(4, false), (6, true)] {
            let mut edited = with_range(build, MASTER);
            let prototype = edited.forged.truth.kernel_base + 0x2000;
            edited.edit_entry(MASTER, RANGE, |_| prototype << 16 | 1 << 10 | protection << 5);
            let findings = judged(&edited);
            let counts = findings.of("SMSS-018").any(|outcome| outcome.counts() || outcome.decides);
            assert_eq!(counts, runs, "{build:?} {protection}");
        }
    }
}

//! Evidence leads to the bytes: where an entry says that its value lies, the image file holds that value.

use crate::common::edited::{Edited, NO_EXECUTE};
use crate::common::forged::Opened;
use ntmem::checks::Evidence;
use ntmem::{System, Timestamp, check_smss};
use ntmem_forge::variants::Impostor;
use ntmem_forge::{Build, Private, Scenario};
use std::collections::{BTreeMap, BTreeSet};

const MASTER: u64 = 348;
/// Where private ranges lie.
const RANGE: u64 = 0x1_5000_0000;

/// What bytes may be shown as: numbers of any width, text, a SID, a time.
fn renderings(bytes: &[u8]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for width in [1, 2, 4, 8].into_iter().filter(|width| *width <= bytes.len()) {
        let number = bytes[..width].iter().rev().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
        // `_EX_FAST_REF` counts references in the low bits of a pointer.
        for number in [number, number & !0xf] {
            all.extend([
                format!("{number}"),
                format!("{number:#x}"),
                format!("{number:#010x}"),
                format!("{number:#018x}"),
            ]);
        }
        if width == 8 {
            all.insert(if number == 0 { "null" } else { "set" }.into());
            all.insert(Timestamp(number).to_string());
        }
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let text = String::from_utf16_lossy(&units);
    all.insert(text.trim_end_matches('\0').split('\0').collect::<Vec<_>>().join(" | "));
    all.insert(bytes.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect());
    if let [1, parts, 0, 0, 0, 0, 0, authority, rest @ ..] = bytes {
        let parts = rest.chunks_exact(4).take(usize::from(*parts));
        let parts = parts.map(|part| format!("-{}", u32::from_le_bytes(part.try_into().unwrap())));
        all.insert(format!("S-1-{authority}{}", parts.collect::<String>()));
    }
    all
}

/// Fields of which the value shown is not what the bytes spell: pointers of which the target is told.
const TOLD: [&str; 2] = ["ActiveProcessLinks", "ThreadListEntry"];

/// A value without the number that it is said to be stored as, and that number: `set (bit 13 of 0x...)`, `0x... (stored as 0x...)`.
/// Of a bit, that number must have it as told.
fn stored(value: &str) -> (&str, Option<&str>) {
    let Some((told, rest)) = value.strip_suffix(')').and_then(|value| value.rsplit_once(" (")) else {
        return (value, None);
    };
    if let Some(number) = rest.strip_prefix("stored as ") {
        return (told, Some(number));
    }
    let Some((bit, number)) = rest.strip_prefix("bit ").and_then(|rest| rest.split_once(" of ")) else {
        return (value, None);
    };
    let word = u64::from_str_radix(number.strip_prefix("0x").unwrap(), 16).unwrap();
    let is_set = word >> bit.parse::<u32>().unwrap() & 1 == 1;
    assert_eq!(told, if is_set { "set" } else { "clear" }, "{value}");
    (told, Some(number))
}

/// `PAGE_*` (winnt.h) in the order of `MM_*` (ntosp.h).
const PROTECTIONS: [&str; 8] = [
    "NOACCESS",
    "READONLY",
    "EXECUTE",
    "EXECUTE_READ",
    "READWRITE",
    "WRITECOPY",
    "EXECUTE_READWRITE",
    "EXECUTE_WRITECOPY",
];

/// What the bytes of fields stand for whose values are packed: page numbers, bits of a word. The positions are those of the public
/// types of the builds.
fn unpacked(build: Build, field: &str, bytes: &[u8]) -> Vec<String> {
    let number = |from: usize, width: usize| {
        bytes[from..from + width].iter().rev().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte))
    };
    match field.rsplit('.').next().unwrap() {
        // Behind it the end, of the same width, and then the high bytes of both.
        "StartingVpn" if build == Build::W7_7601 => vec![format!("{:#018x}", number(0, 8) << 12)],
        "StartingVpn" => vec![format!("{:#018x}", (number(0, 4) | number(8, 1) << 32) << 12)],
        "Protection" | "VadFlags" => {
            let (width, bit) = match build {
                Build::W7_7601 => (8, 56),
                Build::W10_17763 => (4, 3),
                _ => (4, 7),
            };
            vec![format!("PAGE_{}", PROTECTIONS[(number(0, width) >> bit & 7) as usize])]
        }
        "GrantedAccess" | "GrantedAccessBits" => vec![format!("{:#x}", number(0, 4) & 0x1ff_ffff)],
        "PageFrameNumber" => vec![bytes.iter().map(|byte| format!("{byte:02x}")).collect()],
        _ => Vec::new(),
    }
}

/// The offset and the bytes that an entry names. Of an entry of a page table it is itself that is shown; its data are the page.
fn place(evidence: &Evidence) -> Option<(u64, u64)> {
    match &evidence.data {
        Some(_) if evidence.field == "NoExecute" => Some((evidence.file_offset?, 8)),
        Some(data) => Some((data.file_offset?, data.bytes)),
        // No field that holds its value is longer than an image name.
        None => Some((evidence.file_offset?, 15)),
    }
}

fn assert_leads_to_its_bytes(name: &str, build: Build, image: &[u8], system: &System) -> BTreeMap<String, usize> {
    let mut compared = BTreeMap::new();
    for outcome in check_smss(system).outcomes {
        for evidence in &outcome.evidence {
            let at = evidence.r#virtual.or(evidence.object);
            // There is no page that memory lacks in these images: every entry leads to its field.
            assert!(
                evidence.physical.is_some() && evidence.file_offset.is_some() && evidence.object.is_none(),
                "{name} {}: {evidence:?} leads nowhere",
                outcome.id
            );
            if at.is_some() {
                assert!(evidence.space.is_some() && evidence.dtb.is_some(), "{name} {}: {evidence:?}", outcome.id);
            }
            let told = evidence.structure == "_CM_KEY_NODE" || TOLD.iter().any(|field| evidence.field.ends_with(field));
            let Some((value, (offset, length))) = evidence.value.as_ref().zip(place(evidence)).filter(|_| !told) else {
                continue;
            };
            let offset = usize::try_from(offset).unwrap();
            let bytes = &image[offset..offset + usize::try_from(length).unwrap()];
            let mut shown = renderings(bytes);
            shown.extend(unpacked(build, &evidence.field, bytes));
            let (value, number) = stored(value);
            if let Some(number) = number {
                assert!(shown.contains(number), "{name} {}: {evidence:?} is not among {shown:?}", outcome.id);
                *compared.entry(format!("{}.{}", evidence.structure, evidence.field)).or_default() += 1;
                if value == "set" || value == "clear" {
                    continue;
                }
            }
            // A long value is cut short.
            let whole = value.strip_suffix('…');
            let found = match whole {
                Some(start) => shown.iter().any(|text| text.starts_with(start)),
                None => shown.contains(value),
            };
            assert!(found, "{name} {}: {evidence:?} is not among {shown:?}", outcome.id);
            *compared.entry(format!("{}.{}", evidence.structure, evidence.field)).or_default() += 1;
        }
    }
    compared
}

#[test]
fn where_evidence_leads_lies_the_value_that_it_shows() {
    let mut seen = BTreeMap::<String, usize>::new();
    for build in [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::W11_26100] {
        let mut cases = vec![("hollowed", Edited::new(&Scenario::clean(build).with_hollowed_smss()))];
        cases.extend(
            [Impostor::All, Impostor::Session, Impostor::User]
                .map(|kind| ("impostor", Edited::new(&Scenario::clean(build).with_impostor(kind)))),
        );
        cases.push(("unlinked", Edited::new(&Scenario::clean(build).with_unlinked(MASTER))));
        let mut registry = Scenario::clean(build);
        registry.session_manager("").multi("BootExecute", &["autocheck autochk *", "autocheck autoche *"]);
        registry.session_manager("SubSystems").multi("Required", &["Debug", "Windows", "Foo"]);
        registry.session_manager("AppCertDlls").sz("x", r"C:\x.dll");
        cases.push(("registry", Edited::new(&registry)));
        // Who holds it, and what it holds.
        let mut handles = Scenario::clean(build);
        handles.process(2260).opens.push((MASTER, 0x1f_ffff));
        handles.process(MASTER).opens.push((684, 0x410));
        cases.push(("handles", Edited::new(&handles)));
        // Ranges and threads.
        let private = |start, protection| Private { start, bytes: vec![0x90; 0x3000], protection };
        let mut code = Scenario::clean(build);
        let user = code.process(MASTER).user.as_mut().unwrap();
        user.private.extend([private(RANGE, 6), private(RANGE + 0x10_0000, 4)]);
        user.unlisted = vec![r"C:\Windows\Temp\x.dll".into()];
        code.process(MASTER).thread_starts = vec![RANGE + 0x1000];
        cases.push(("code", Edited::new(&code)));
        // Page tables, and bytes of a library that others have too.
        let mut data = Scenario::clean(build);
        data.process(MASTER).user.as_mut().unwrap().private.push(private(RANGE, 4));
        let mut pages = Edited::new(&data);
        pages.edit_entry(MASTER, RANGE + 0x1000, |entry| entry & !NO_EXECUTE);
        let library = Edited::library(build);
        let to = pages.copy_page(MASTER, library, RANGE + 0x2000);
        pages.bytes[to + 0x200..][..5].copy_from_slice(&[0xe9, 0x10, 0x20, 0x30, 0x40]);
        pages.edit_entry(MASTER, library, |entry| entry & !NO_EXECUTE);
        cases.push(("pages", pages));
        for (name, edited) in cases {
            let name = format!("{build:?} {name}");
            let compared = assert_leads_to_its_bytes(&name, build, &edited.bytes, &edited.system(false));
            assert!(compared.values().sum::<usize>() > 40, "{name}: only {compared:?} lead anywhere");
            compared.into_iter().for_each(|(field, count)| *seen.entry(field).or_default() += count);
        }
    }
    for field in [
        "_MMVAD_SHORT.StartingVpn",
        "_MMVAD.Subsection",
        "_HANDLE_TABLE_ENTRY.GrantedAccessBits",
        "_HANDLE_TABLE_ENTRY.GrantedAccess",
        "_ETHREAD.CreateTime",
        "_ETHREAD.StartAddress",
        "_MMPTE.NoExecute",
        "_MMPTE.PageFrameNumber",
        // Entries of lists, each where it lies.
        "_TOKEN.UserAndGroups[1]",
        "_LDR_DATA_TABLE_ENTRY.FullDllName",
        "_EPROCESS.WoW64Process",
    ] {
        assert!(seen.contains_key(field), "no finding of these images cites {field}: {seen:?}");
    }
    for end in ["Protection", "BreakOnTermination", "DisableDynamicCode"] {
        assert!(seen.keys().any(|field| field.ends_with(end)), "{end}: {seen:?}");
    }
}

/// Evidence in a container: the offset is one of the file, not of memory.
#[test]
fn offsets_are_those_of_the_file() {
    let mut scenario = Scenario::clean(Build::W10_19045).with_impostor(Impostor::All);
    scenario.process(2260).opens.push((MASTER, 0x1f_ffff));
    let forged = scenario.forge();
    let mut file = b"EMiL\x01\0\0\0".to_vec();
    file.extend(0u64.to_le_bytes());
    file.extend((forged.image.len() as u64 - 1).to_le_bytes());
    file.extend([0; 8]);
    file.extend(&forged.image);
    let opened = Opened::with_bytes(&forged, file.clone());
    assert_eq!(opened.image.format(), "lime");
    let compared = assert_leads_to_its_bytes("LiME", Build::W10_19045, &file, &opened.system());
    assert!(compared.values().sum::<usize>() > 40, "{compared:?}");
}

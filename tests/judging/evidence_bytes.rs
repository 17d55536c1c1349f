//! Evidence leads to the bytes: where an entry says that its value lies, the image file holds that value.

use crate::common::forged::Opened;
use ntmem::checks::Evidence;
use ntmem::{System, Timestamp, check_smss};
use ntmem_forge::variants::Impostor;
use ntmem_forge::{Build, Scenario};
use std::collections::BTreeSet;

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

/// Fields of which the value shown is not what the bytes spell: bits of a word, pointers of which the target is told, lists.
const TOLD: [&str; 5] =
    ["BreakOnTermination", "DisableDynamicCode", "UserAndGroups", "InLoadOrderModuleList", "ActiveProcessLinks"];

/// The offset and the bytes that an entry names.
fn place(evidence: &Evidence) -> Option<(u64, u64)> {
    match &evidence.data {
        Some(data) => Some((data.file_offset?, data.bytes)),
        // No field that holds its value is longer than an image name.
        None => Some((evidence.file_offset?, 15)),
    }
}

fn assert_leads_to_its_bytes(name: &str, image: &[u8], system: &System) -> usize {
    let mut compared = 0;
    for outcome in check_smss(system).outcomes {
        for evidence in &outcome.evidence {
            let at = evidence.r#virtual.or(evidence.object);
            if at.is_some() {
                assert!(evidence.space.is_some() && evidence.dtb.is_some(), "{name} {}: {evidence:?}", outcome.id);
            }
            let told = evidence.structure == "_CM_KEY_NODE" || TOLD.iter().any(|field| evidence.field.ends_with(field));
            let Some((value, (offset, length))) = evidence.value.as_ref().zip(place(evidence)).filter(|_| !told) else {
                continue;
            };
            let offset = usize::try_from(offset).unwrap();
            let shown = renderings(&image[offset..offset + usize::try_from(length).unwrap()]);
            // A long value is cut short.
            let whole = value.strip_suffix('…');
            let found = match whole {
                Some(start) => shown.iter().any(|text| text.starts_with(start)),
                None => shown.contains(value),
            };
            assert!(found, "{name} {}: {evidence:?} is not among {shown:?}", outcome.id);
            compared += 1;
        }
    }
    compared
}

#[test]
fn where_evidence_leads_lies_the_value_that_it_shows() {
    for build in [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::W11_26100] {
        let mut cases = vec![("hollowed", Scenario::clean(build).with_hollowed_smss())];
        cases.extend(
            [Impostor::All, Impostor::Session, Impostor::User]
                .map(|kind| ("impostor", Scenario::clean(build).with_impostor(kind))),
        );
        cases.push(("unlinked", Scenario::clean(build).with_unlinked(348)));
        let mut registry = Scenario::clean(build);
        registry.session_manager("").multi("BootExecute", &["autocheck autochk *", "autocheck autoche *"]);
        registry.session_manager("SubSystems").multi("Required", &["Debug", "Windows", "Foo"]);
        registry.session_manager("AppCertDlls").sz("x", r"C:\x.dll");
        cases.push(("registry", registry));
        for (name, scenario) in cases {
            let forged = scenario.forge();
            let compared =
                assert_leads_to_its_bytes(&format!("{build:?} {name}"), &forged.image, &Opened::new(&forged).system());
            assert!(compared > 40, "{build:?} {name}: only {compared} entries lead anywhere");
        }
    }
}

/// Evidence in a container: the offset is one of the file, not of memory.
#[test]
fn offsets_are_those_of_the_file() {
    let forged = Scenario::clean(Build::W10_19045).with_impostor(Impostor::All).forge();
    let mut file = b"EMiL\x01\0\0\0".to_vec();
    file.extend(0u64.to_le_bytes());
    file.extend((forged.image.len() as u64 - 1).to_le_bytes());
    file.extend([0; 8]);
    file.extend(&forged.image);
    let opened = Opened::with_bytes(&forged, file.clone());
    assert_eq!(opened.image.format(), "lime");
    assert!(assert_leads_to_its_bytes("LiME", &file, &opened.system()) > 40);
}

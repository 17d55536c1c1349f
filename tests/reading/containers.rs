//! The same machine in every container gives the same answer.

use crate::common;
use crate::common::forged::{Opened, document};
use ntmem_forge::{Build, DumpType, Scenario};

#[test]
fn crash_dumps() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let forged = Scenario::clean(build).forge();
        let truth: serde_json::Value = serde_json::from_str(&forged.truth.to_json()).unwrap();
        for (kind, format) in [
            (DumpType::Full, "crash_dump_full"),
            (DumpType::Bitmap, "crash_dump_bitmap"),
            (DumpType::KernelBitmap, "crash_dump_kernel_bitmap"),
        ] {
            let opened = Opened::with_bytes(&forged, forged.as_crash_dump(kind));
            assert_eq!(opened.image.format(), format);
            assert!(opened.image.warnings().is_empty());
            let document = document(&opened.system());
            assert!(document["kernel"]["found_by"].as_str().unwrap().starts_with("crash dump header"));
            if kind == DumpType::KernelBitmap {
                // User memory is not in it, so that what it holds is unknown; the rest is there.
                let smss = document["processes"]["items"].as_array().unwrap().iter().find(|p| p["pid"] == 348).unwrap();
                assert_eq!(smss["name"], "smss.exe");
            } else {
                common::assert_agrees(&format!("{build:?} {format}"), &document, &truth);
            }
        }
    }
}

/// A machine with holes between its runs and memory above 4 GiB.
fn machine() -> (ntmem_forge::Forged, serde_json::Value) {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x200_0000, 0x1_0000_0000..0x1_0100_0000];
    let forged = scenario.forge_frames();
    let truth = serde_json::from_str(&forged.truth.to_json()).unwrap();
    (forged, truth)
}

/// What a container must give: the machine, its runs, and nothing odd.
fn agrees(forged: &ntmem_forge::Forged, truth: &serde_json::Value, bytes: Vec<u8>, format: &str) {
    let opened = Opened::with_bytes(forged, bytes);
    assert_eq!(opened.image.format(), format);
    assert_eq!(opened.image.warnings(), []);
    let runs: Vec<_> = opened.image.runs().map(|run| run.start.0..run.end().0).collect();
    assert_eq!(runs, forged.truth.runs, "{format}");
    common::assert_agrees(format, &document(&opened.system()), truth);
}

#[test]
fn lime() {
    let (forged, truth) = machine();
    agrees(&forged, &truth, forged.as_lime(), "lime");
}

/// A dump cut off anywhere: what is left is read, and it says that pages are missing.
#[test]
fn truncated_crash_dumps() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    for kind in [DumpType::Full, DumpType::Bitmap] {
        let mut bytes = forged.as_crash_dump(kind);
        bytes.truncate(bytes.len() - 0x1800);
        let opened = Opened::with_bytes(&forged, bytes);
        assert!(opened.image.warnings()[0].to_string().contains("truncated"), "{kind:?}");
        assert!(opened.system().processes.items.len() > 10);
    }
}

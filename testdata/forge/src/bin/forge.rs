//! Writes forged images: `forge BUILD OUT_DIR [VARIANT [CONTAINER]]` puts `image.raw`, `truth.json` and a symbol file there.

use ntmem_forge::layout::Layout;
use ntmem_forge::samples::samples;
use ntmem_forge::{
    Behind, Build, Core, DumpType, Forged, Hibernation, Impostor, Paged, PagingFile, Saved, Scenario, StateFile,
    Stream, SymbolPlan, Tampered,
};
use std::fs;
use std::path::Path;

/// What a name makes of a clean machine.
type Variant = (&'static str, fn(Scenario) -> Scenario);

const VARIANTS: [Variant; 21] = [
    ("clean", |s| s),
    ("roomy", |mut s| {
        // Some readers refuse files below 16 MiB.
        s.memory = vec![0x1000..0x9_f000, 0x10_0000..0x200_0000];
        s
    }),
    // Page files, the store and sections, and all pages in memory.
    ("paging", Scenario::with_paging),
    ("exited-children", Scenario::with_exited_session_children),
    ("young-child", Scenario::with_young_session_child),
    ("silo", Scenario::with_silo),
    ("impostor", |s| s.with_impostor(Impostor::All)),
    ("impostor-path", |s| s.with_impostor(Impostor::Path)),
    ("impostor-user", |s| s.with_impostor(Impostor::User)),
    ("impostor-late", |s| s.with_impostor(Impostor::Late)),
    ("hollowed", Scenario::with_hollowed_smss),
    ("unlinked", |s| s.with_unlinked(804)),
    ("reused-ids", Scenario::with_reused_ids),
    ("parent-ring", Scenario::with_parent_ring),
    ("clock-step", |s| s.with_clock_step(3600)),
    ("torn-flink", |s| s.with_torn_flink(664)),
    ("torn-both", |s| s.with_torn_flink(664).with_torn_blink(684)),
    ("peb-out", |s| s.with_peb(348, Paged::Out)),
    ("peb-transition", |s| s.with_peb(348, Paged::Transition)),
    ("relics", |mut s| {
        s.memory = vec![0x1000..0x9_f000, 0x10_0000..0x400_0000];
        s.with_relics(64)
    }),
    // For large images: no zero pages, and 4000 decoys and objects of processes that are over.
    ("dense", |mut s| {
        s.dense = true;
        s.with_relics(4000)
    }),
];

/// A container's name and how it is written.
type Container = (&'static str, fn(&Forged) -> Vec<u8>);

const CONTAINERS: [Container; 22] = [
    ("raw", |f| f.image.clone()),
    ("full", |f| f.as_crash_dump(DumpType::Full)),
    ("bitmap", |f| f.as_crash_dump(DumpType::Bitmap)),
    ("kernel", |f| f.as_crash_dump(DumpType::KernelBitmap)),
    ("lime", Forged::as_lime),
    ("elf", |f| f.as_elf_core(Core::Qemu)),
    ("elf-vbox", |f| f.as_elf_core(Core::VirtualBox)),
    ("elf-xen", |f| f.as_elf_core(Core::Xen)),
    ("live", |f| f.as_range_dump(8)),
    ("complete", |f| f.as_range_dump(0xa)),
    ("avml", Forged::as_avml),
    ("aff4", |f| f.as_aff4(false)),
    ("vmrs", |f| f.as_vmrs(false)),
    ("sav", |f| f.as_virtualbox(Saved::Still)),
    ("xen-save", Forged::as_xen_save),
    ("vmsn", |f| f.as_vmware_state(StateFile::Inline, 0)),
    ("qemu", |f| f.as_qemu_stream(Stream::Pages)),
    ("qcow2", Forged::as_qcow2),
    ("hiberfil", |f| f.as_hibernation(Hibernation::Huffman)),
    ("hiberfil-7", |f| f.as_hibernation(Hibernation::Seven)),
    ("kdump", |f| f.as_kdump(false)),
    ("kdump-flat", |f| f.as_kdump(true)),
];

/// `behind-WHAT`, with what is wrong behind it (`+WHAT`), without a mask or with another one (`+mask0`, `+mask47`) and with five levels
/// of page tables (`+la57`), or no swap file, which makes the virtual store number 1 (`+noswap`); so many pages of a process in the
/// store (`+bulk10000`).
fn behind(scenario: Scenario, variant: &str) -> Option<Scenario> {
    let mut words = variant.strip_prefix("behind-")?.split('+');
    let name = words.next()?;
    let what = Behind::ALL.into_iter().find(|b| b.name() == name && b.is_in(scenario.build))?;
    let (mut scenario, mut swap, mut bulk) = (scenario, true, 0);
    for word in words {
        scenario = match word {
            _ if word.starts_with("bulk") => {
                bulk = word.trim_start_matches("bulk").parse().ok()?;
                scenario
            }
            "mask0" => scenario.with_mask(0),
            "mask47" => scenario.with_mask(1 << 47),
            "la57" => scenario.with_five_levels(),
            "noswap" => {
                swap = false;
                scenario
            }
            _ => scenario.tampered(Tampered::ALL.into_iter().find(|t| t.name() == word)?),
        };
    }
    let mut scenario = scenario.behind(what);
    scenario.pages.files.retain(|&file| swap || file != PagingFile::Swap);
    scenario.pages.bulk = bulk;
    if let (Some(store), true) = (&mut scenario.pages.store, bulk > 0) {
        store.fan = (0x100, 0x80);
    }
    Some(scenario)
}

fn usage() -> ! {
    eprintln!("usage: forge BUILD OUT_DIR [VARIANT [CONTAINER]]");
    eprintln!(
        "   or: forge kernel SYMBOL_FILE OUT_DIR (a clean machine with the kernel of a Volatility 3 symbol file)"
    );
    eprintln!(
        "   or: forge moments BUILD OUT_DIR MINUTES (a clean machine twice: image.raw, and later.raw so much later)"
    );
    eprintln!("   or: forge c BUILD (the tables as C)");
    eprintln!("   or: forge symbols IMAGE MAP (what the linker made of them)");
    eprintln!("   or: forge samples TABLE OUT_DIR (the committed samples)");
    eprintln!("containers: {}, or MiB of a large raw image", CONTAINERS.map(|c| c.0).join(" "));
    eprintln!("builds: {}", Build::ALL.map(|b| b.number().to_string()).join(" "));
    eprintln!("variants: {}", VARIANTS.map(|v| v.0).join(" "));
    eprintln!("  or behind-WHAT[+WRONG][+mask0|+mask47][+la57][+noswap][+bulkN]");
    eprintln!("  WHAT: {}", Behind::ALL.map(Behind::name).join(" "));
    eprintln!("  WRONG: {}", Tampered::ALL.map(Tampered::name).join(" "));
    std::process::exit(64);
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, number] = arguments.as_slice()
        && word == "c"
    {
        let Some(build) = Build::ALL.into_iter().find(|b| b.number().to_string() == *number) else { usage() };
        print!("{}", ntmem_forge::c_source(&Layout::of(build)));
        return Ok(());
    }
    if let [word, build, out, minutes] = arguments.as_slice()
        && word == "moments"
    {
        let Some(build) = Build::ALL.into_iter().find(|b| b.number().to_string() == *build) else { usage() };
        let Ok(minutes) = minutes.parse() else { usage() };
        let mut scenario = Scenario::clean(build);
        scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x200_0000];
        let moments = scenario.moments(minutes, |_| ());
        let out = Path::new(out);
        fs::create_dir_all(out)?;
        fs::write(out.join("image.raw"), &moments.before.image)?;
        fs::write(out.join("later.raw"), &moments.after.image)?;
        return write_facts(out, &moments.before);
    }
    if let [word, file, out] = arguments.as_slice()
        && word == "kernel"
    {
        let forged = Scenario::of(&Layout::from_isf(&fs::read_to_string(file)?)).forge();
        fs::create_dir_all(out)?;
        fs::write(Path::new(out).join("image.raw"), &forged.image)?;
        // With the types that a trimmed file lacks.
        fs::write(Path::new(out).join(format!("{}-{}.json", forged.truth.guid, forged.truth.age)), &forged.isf)?;
        return fs::write(Path::new(out).join("truth.json"), forged.truth.to_json());
    }
    if let [word, image, map] = arguments.as_slice()
        && word == "symbols"
    {
        print!("{}", SymbolPlan::from_linker(&fs::read(image)?, &fs::read_to_string(map)?).to_text());
        return Ok(());
    }
    if let [word, table, out] = arguments.as_slice()
        && word == "samples"
    {
        let symbols = SymbolPlan::from_text(&fs::read_to_string(table)?);
        for (name, scenario) in samples(&symbols) {
            let forged = scenario.forge();
            fs::write(Path::new(out).join(format!("{name}.raw")), &forged.image)?;
            fs::write(Path::new(out).join(format!("{name}.json")), forged.truth.to_json())?;
        }
        return Ok(());
    }
    let (number, out, variant, container) = match arguments.as_slice() {
        [number, out] => (number, out, "clean", "raw"),
        [number, out, variant] => (number, out, variant.as_str(), "raw"),
        [number, out, variant, container] => (number, out, variant.as_str(), container.as_str()),
        _ => usage(),
    };
    let Some(build) = Build::ALL.into_iter().find(|b| b.number().to_string() == *number) else { usage() };
    let clean = Scenario::clean(build);
    let scenario = match VARIANTS.iter().find(|v| v.0 == variant) {
        Some((_, change)) => change(clean),
        None => behind(clean, variant).unwrap_or_else(|| usage()),
    };
    let out = Path::new(out);
    fs::create_dir_all(out)?;
    let image = out.join("image.raw");
    let forged = if let Ok(mib) = container.parse::<u64>() {
        scenario.write_large(&image, mib << 20)?
    } else {
        let Some((_, write)) = CONTAINERS.iter().find(|c| c.0 == container) else { usage() };
        let forged = scenario.forge();
        fs::write(image, write(&forged))?;
        forged
    };
    for file in forged.paging_files.iter().filter(|f| f.kind != PagingFile::Store) {
        file.write(&out.join(file.kind.name()))?;
    }
    write_facts(out, &forged)
}

/// Writes what is beside an image: its facts, and its kernel's symbols.
fn write_facts(out: &Path, forged: &Forged) -> std::io::Result<()> {
    let symbols = out.join("symbols/windows/ntkrnlmp.pdb");
    fs::create_dir_all(&symbols)?;
    fs::write(out.join("truth.json"), forged.truth.to_json())?;
    fs::write(symbols.join(format!("{}-{}.json", forged.truth.guid, forged.truth.age)), &forged.isf)
}

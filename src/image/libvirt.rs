//! What `virsh save` and `virsh managedsave` write: a header, the machine's description in XML, and QEMU's migration stream.
//!
//! Layout: libvirt `src/qemu/qemu_saveimage.h`. Numbers are in the byte order of the host.

use super::formats::{Format, Found, Job, Opening, Refusal};
use super::qemu;
use crate::{Error, Warning};

/// See the module.
pub(super) static FORMAT: Format = Format {
    title: "a machine saved by libvirt",
    mark: |opening| opening.source.has(0, COMPLETE) || opening.source.has(0, PARTIAL),
    job: Job::Read(open),
};

const COMPLETE: &[u8] = b"LibvirtQemudSave";
const PARTIAL: &[u8] = b"LibvirtQemudPart";
const HEADER: u64 = 92;

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    let not_this = |why: &str| Refusal::NotThis(why.to_owned());
    let swapped = source.u32(16).is_some_and(|version| version.swap_bytes() <= 3);
    let field = |at: u64| source.u32(at).map(|value| if swapped { value.swap_bytes() } else { value });
    let (Some(version), Some(text), Some(packed)) = (field(16), field(20), field(28)) else {
        return Err(not_this("it ends within its header"));
    };
    if !(1..=3).contains(&version) {
        return Err(not_this("it is of no version that is known"));
    }
    if packed == 4 {
        return Err(Refusal::Unusable(Error::NotAnImage {
            what: "this machine was saved by libvirt and compressed with lzop".into(),
            advice: "Set save_image_format = \"raw\" (or zstd) in qemu.conf and save again, or take `virsh dump --memory-only`".into(),
        }));
    }
    let begin = HEADER.saturating_add(u64::from(text));
    if begin >= source.len() {
        return Err(not_this("it ends before its memory begins"));
    }
    let mut warnings = Vec::new();
    if source.has(0, PARTIAL) {
        warnings.push(Warning::new(
            "image",
            "libvirt did not finish saving the machine: the end of its memory may be missing",
        ));
    }
    if source.has(begin, b"QEVM") {
        // Memory that is mapped in the file has offsets in all of it.
        let mut opened = qemu::open(source, begin)?;
        opened.format = "libvirt_save";
        opened.warnings.append(&mut warnings);
        return Ok(opened.into());
    }
    Ok(Found::Inside("libvirt_save", source.window(begin, u64::MAX), warnings))
}

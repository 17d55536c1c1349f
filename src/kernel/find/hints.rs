//! What the container says of the machine, held against the machine.

use crate::image::Hint;
use crate::kernel::{Kernel, SharedData};
use crate::{ImageInfo, Timestamp, VirtualAddress};

/// Roots that are held against the kernel: a container names one for each processor.
const MAX_ROOTS: usize = 64;
/// How far the time of the container may be from the machine's: acquisition takes a while, and a machine's clock may be that of another
/// time zone.
const TIME_APART: u64 = 26 * 3600 * 10_000_000;

impl Kernel<'_> {
    /// The record of the image, with the hints of its container and what came of them.
    #[must_use]
    pub fn image_info(&self) -> ImageInfo {
        ImageInfo { hints: self.hints(), ..self.image().info() }
    }

    fn hints(&self) -> Vec<Hint> {
        let Some(hints) = self.image().hints() else { return Vec::new() };
        let mut all = Vec::new();
        let mut add = |what: &str, value: String, agrees: Option<bool>| {
            all.push(Hint { source: hints.source.to_owned(), what: what.to_owned(), value, agrees });
        };
        let kernel = self.space().translate(self.base()).ok();
        for root in hints.roots.iter().take(MAX_ROOTS) {
            let there = self.space().with_root(*root).translate(self.base()).ok();
            add("page-table root", root.to_string(), kernel.map(|_| there == kernel));
        }
        for (name, hint) in [
            ("PsLoadedModuleList", hints.loaded_module_list),
            ("PsActiveProcessHead", hints.active_process_head),
            ("KdDebuggerDataBlock", hints.debugger_data_block),
        ] {
            let Some(hint) = hint else { continue };
            let known: Option<VirtualAddress> = self.global(name).ok();
            add(name, hint.to_string(), known.map(|known| known == hint));
        }
        let near = |one: Timestamp, other: Timestamp| one.0.abs_diff(other.0) <= TIME_APART;
        let shared = self.shared_data();
        if let Some(time) = hints.system_time {
            add("time of the image", time.to_string(), shared.map(|shared| near(time, shared.system_time)));
        }
        if let Some(boot) = hints.boot {
            add(
                "start of the system",
                boot.to_string(),
                shared.and_then(SharedData::boot).map(|known| near(boot, known)),
            );
        }
        if let Some(build) = hints.build {
            // Enablement packages raise the number that the shared page has: 19045 for 19041.
            let agrees = self.build().ok().map(|known| known.abs_diff(build & 0xffff) <= 200);
            add("build", build.to_string(), agrees);
        }
        all
    }
}

//! Modules of the kernel: `PsLoadedModuleList`.

use crate::kernel::{Kernel, list_both_ways, text};
use crate::reading::record;
use crate::{Absent, ListEnd, Reading, VirtualAddress, Warning};
use serde::{Deserialize, Serialize};

record! {
    /// One module of the kernel: the kernel itself, the HAL, a driver.
    pub struct Driver {
        /// `BaseDllName`: `win32k.sys`.
        name: String,
        /// `FullDllName`: `\SystemRoot\System32\win32k.sys`.
        path: String,
        /// `DllBase`.
        base: VirtualAddress,
        /// `SizeOfImage`, in bytes.
        size: u32,
        /// Address of the `_LDR_DATA_TABLE_ENTRY`.
        entry: VirtualAddress,
    }
}

/// The loaded modules of the kernel, and how the walk that listed them ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DriverList {
    /// The worse of the two directions. `None`: the list was not walked.
    pub end: Option<ListEnd>,
    /// The modules, in load order.
    #[serde(deserialize_with = "crate::reading::null_is_default")]
    pub items: Vec<Driver>,
}

/// A system loads some two hundred.
const MAX_DRIVERS: usize = 1 << 14;

impl DriverList {
    /// Walks the list both ways. What cannot be read is missing, and a warning says so.
    pub(crate) fn read(kernel: &Kernel<'_>, warnings: &mut Vec<Warning>) -> Self {
        let space = kernel.space();
        let found = kernel.global("PsLoadedModuleList").map_err(Absent::from);
        let (head, layout) = match (found, &kernel.layouts().ldr_entry) {
            (Ok(head), Ok(layout)) => (head, layout),
            (Err(absent), _) => return Self::unread(&absent, warnings),
            (_, Err(error)) => return Self::unread(&error.into(), warnings),
        };
        let joined = list_both_ways(space, head, MAX_DRIVERS, VirtualAddress::is_kernel);
        for (direction, end) in [("forward", &joined.forward), ("backward", &joined.backward)] {
            if end.kind() != ListEnd::Complete {
                warnings
                    .push(Warning::new("drivers", format!("the list of loaded modules, walked {direction}, {end}")));
            }
        }
        let items = joined.entries.iter().map(|entry| {
            let at = entry.wrapping_sub(layout.load_order.offset);
            let string = |offset| Reading::from(text::unicode_string(space, at.wrapping_add(offset)));
            Driver {
                name: string(layout.base_name.offset),
                path: string(layout.full_name.offset),
                base: space.read_pointer(at.wrapping_add(layout.base.offset)).map_err(Absent::from).into(),
                size: space.read_u32(at.wrapping_add(layout.image_size.offset)).map_err(Absent::from).into(),
                entry: Reading::Value(at),
            }
        });
        Self { end: Some(joined.end()), items: items.collect() }
    }

    fn unread(absent: &Absent, warnings: &mut Vec<Warning>) -> Self {
        warnings.push(Warning::new("drivers", format!("the list of loaded modules: {absent}")));
        Self::default()
    }

    /// The module of this file name, in upper or lower case.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Driver> {
        self.items.iter().find(|driver| driver.name.value().is_some_and(|found| found.eq_ignore_ascii_case(name)))
    }
}

//! `_PEB` and what hangs on it: the process's own account of itself, in memory that the process can write.

use super::vad::{Vad, vads};
use crate::kernel::view::View;
use crate::kernel::walk::{self, Direction, WalkEnd};
use crate::kernel::{Eprocess, Kernel, text};
use crate::location::Location;
use crate::memory::AddressSpace;
use crate::symbols::{Embedded, Field};
use crate::{Absent, Origin, Reading, VirtualAddress};

/// A process loads some hundred modules.
const MAX_MODULES: usize = 4096;

/// Bytes of their names in all: a thousand modules take some hundred thousand. Any number of entries can share one long name.
const MAX_MODULE_TEXT: usize = 1 << 20;

/// What a PEB says.
#[derive(Clone, Debug)]
pub struct UserHalf {
    /// `ProcessParameters.ImagePathName`.
    pub path: Reading<String>,
    /// `ProcessParameters.CommandLine`.
    pub command_line: Reading<String>,
    /// `ProcessParameters.Environment`.
    pub environment: Reading<Vec<String>>,
    /// `Ldr`, in load order.
    pub modules: Reading<Vec<String>>,
    /// `ImageBaseAddress`.
    pub image_base: Reading<VirtualAddress>,
    /// Where these were read, by the record's field names.
    pub locations: Vec<(&'static str, Location)>,
}

/// What `PEB.ImageBaseAddress` says, if an image can lie there: ranges begin at multiples of 64 KiB (Windows Internals 7th edition part 1,
/// chapter 5, "Address space layouts"), and a page of something else says anything.
fn image_base(at: VirtualAddress) -> Result<VirtualAddress, Absent> {
    const GRANULARITY: u64 = 0x1_0000;
    let why = || Absent::unparsable(format!("PEB.ImageBaseAddress is {at}, where no range of memory can begin"));
    at.0.is_multiple_of(GRANULARITY).then_some(at).ok_or_else(why)
}

impl UserHalf {
    /// Reads the PEB of a process. A process without one has none of this; one whose PEB cannot be read has it unknown.
    #[must_use]
    pub fn read(kernel: &Kernel<'_>, process: &Eprocess<'_>) -> Self {
        match process.peb() {
            Reading::Value(peb) => match process.space() {
                Ok(space) => Self::at(kernel, process, space, peb),
                Err(absent) => Self::all(|| Reading::Absent(absent.clone())),
            },
            // Whoever runs an image has one; processes of the kernel's own run none.
            Reading::Nothing
                if process.section().value().is_some()
                    && process.threads().value().is_some_and(|threads| *threads > 0) =>
            {
                let why = "_EPROCESS.Peb is null, and the process runs an image";
                Self::all(|| Reading::Absent(Absent::unparsable(why)))
            }
            Reading::Nothing => Self {
                path: Reading::Nothing,
                command_line: Reading::Nothing,
                environment: Reading::Nothing,
                modules: Reading::Nothing,
                image_base: Reading::Nothing,
                locations: Vec::new(),
            },
            Reading::Absent(absent) => Self::all(|| Reading::Absent(absent.clone())),
        }
    }

    fn all(absent: impl Fn() -> Reading<()>) -> Self {
        let reason = || absent().absent().cloned().unwrap_or_else(|| Absent::unreadable(""));
        Self {
            path: Reading::Absent(reason()),
            command_line: Reading::Absent(reason()),
            environment: Reading::Absent(reason()),
            modules: Reading::Absent(reason()),
            image_base: Reading::Absent(reason()),
            locations: Vec::new(),
        }
    }

    fn at(kernel: &Kernel<'_>, process: &Eprocess<'_>, space: AddressSpace<'_>, peb: VirtualAddress) -> Self {
        let layout = match &kernel.layouts().peb {
            Ok(layout) => layout,
            Err(error) => return Self::all(|| Reading::Absent(error.into())),
        };
        let view = View::read(space, peb, layout.size);
        // A PEB page that was never filled, or was torn while memory was copied, says nothing.
        for (byte, word) in [(0, "zero"), (0xff, "0xff")] {
            if view.bytes(0, layout.size).is_ok_and(|bytes| bytes.iter().all(|own| *own == byte)) {
                return Self::all(|| Reading::Absent(Absent::unreadable(format!("the PEB at {peb} is all {word}"))));
            }
        }
        // What leads out of user memory was written by nobody who made a PEB: the page is another's by now.
        for field in [layout.image_base, layout.parameters, layout.ldr] {
            if let Ok(to) = view.get(field)
                && !space.architecture().is_user(to)
            {
                let why = format!("the PEB at {peb} leads to {to} ({}), which is no user memory", field.name);
                return Self::all(|| Reading::Absent(Absent::unparsable(why.clone())));
            }
        }
        // A page file is copied after memory: by then the page may be somebody else's. A PEB proves itself by where it leads.
        if let Ok(origin @ Origin::PageFile { .. }) = space.origin(peb) {
            let leads = [layout.image_base, layout.parameters, layout.ldr].map(|field| view.get(field));
            if let Some(astray) = leads.into_iter().flatten().find(|to| leads_nowhere(process, *to)) {
                let why = format!(
                    "the PEB at {peb} is in {origin}, and what is there now leads to {astray}, where the process has nothing: the page \
                     was given to another since"
                );
                return Self::all(|| Reading::Absent(Absent::unreadable(why.clone())));
            }
        }
        let mut locations = vec![("image_base", view.locate(layout.image_base))];
        if let (Ok(ldr), Ok(layout)) = (view.get(layout.ldr), &kernel.layouts().ldr)
            && !ldr.is_null()
        {
            let head = layout.load_order;
            locations.push(("modules", space.locate(head.structure, head.name, ldr.wrapping_add(head.offset))));
        }
        let parameters = view.get(layout.parameters).and_then(|at| match &kernel.layouts().parameters {
            _ if at.is_null() => Err(Absent::unparsable("PEB.ProcessParameters is null")),
            Ok(layout) => Ok((View::read(space, at, layout.size), *layout)),
            Err(error) => Err(error.into()),
        });
        // Windows writes the path of every process that it makes. Without it the page was lost, or somebody emptied it.
        let parameters = parameters.and_then(|(view, layout)| {
            let path = view.address_of(layout.image_path);
            if text::is_empty(space, path)? {
                let (structure, field) = (layout.image_path.structure, layout.image_path.name);
                return Err(Absent::unparsable(format!(
                    "{structure}.{field} at {path} is empty: Windows writes it for every process, so that the page was lost or changed"
                )));
            }
            Ok((view, layout))
        });
        let string = |field: fn(&crate::kernel::layouts::ParametersLayout) -> Field<Embedded>| -> Reading<String> {
            let read = || {
                let (view, layout) = parameters.as_ref().map_err(Clone::clone)?;
                text::unicode_string(space, view.address_of(field(layout)))
            };
            read().into()
        };
        let environment = || {
            let (view, layout) = parameters.as_ref().map_err(Clone::clone)?;
            let at = view.get(layout.environment)?;
            if at.is_null() {
                return Ok(None);
            }
            let size = layout.environment_size.map_or(Ok(0), |field| view.get(field))?;
            text::environment(space, at, size).map(Some)
        };
        if let Ok((view, layout)) = &parameters {
            let text = |field| Location {
                data: text::unicode_string_data(space, view.address_of(field)),
                ..view.locate(field)
            };
            locations.push(("peb_path", text(layout.image_path)));
            locations.push(("command_line", text(layout.command_line)));
        }
        // A page table out of a page file may be another's by now. Where the PEB that it leads to has the image base that the kernel knows,
        // it is this process's, and so is what the PEB leads to.
        let base = view.get(layout.image_base).ok();
        if base.is_none() || process.section_base().value().copied() != base {
            let table = view.locate(layout.image_base).table;
            for (_, location) in &mut locations {
                location.table = location.table.or(table);
            }
        }
        Self {
            path: string(|layout| layout.image_path),
            command_line: string(|layout| layout.command_line),
            environment: environment().into(),
            modules: view.get(layout.ldr).and_then(|ldr| modules(kernel, space, ldr)).into(),
            image_base: crate::kernel::pointer(view.get(layout.image_base).and_then(image_base)),
            locations,
        }
    }
}

/// Whether an address is in no range of the process: not null, and in none of its VADs. Where these cannot be had, whether no user
/// memory is there at all.
fn leads_nowhere(process: &Eprocess<'_>, to: VirtualAddress) -> bool {
    let inside = |vad: &Vad| {
        let ends = vad.start.value().zip(vad.end.value());
        ends.is_some_and(|(start, end)| (*start..=*end).contains(&to))
    };
    match vads(process) {
        _ if to.is_null() => false,
        Ok((ranges, WalkEnd::Complete)) => !ranges.iter().any(inside),
        _ => to.is_kernel(),
    }
}

/// `FullDllName` of each module in load order. `None`: `Ldr` is null, the loader has not run yet.
fn modules(kernel: &Kernel<'_>, space: AddressSpace<'_>, ldr: VirtualAddress) -> Result<Option<Vec<String>>, Absent> {
    if ldr.is_null() {
        return Ok(None);
    }
    let layouts = kernel.layouts();
    let head = ldr.wrapping_add(layouts.ldr.as_ref()?.load_order.offset);
    let layout = layouts.ldr_entry.as_ref()?;
    let (entries, end) =
        walk::list(space, head, Direction::Forward, MAX_MODULES, |entry| !entry.is_null() && !entry.is_kernel());
    let mut names = Vec::new();
    let mut lost = None;
    let mut room = MAX_MODULE_TEXT;
    for entry in entries {
        let module = entry.wrapping_sub(layout.load_order.offset);
        match text::file_name(space, module.wrapping_add(layout.full_name.offset)) {
            Ok(name) => {
                let name = name.unwrap_or_default();
                let Some(left) = room.checked_sub(name.len()) else {
                    return Err(Absent::unparsable(format!(
                        "the names in the module list have more than {MAX_MODULE_TEXT} bytes: no loader wrote them"
                    )));
                };
                room = left;
                names.push(name);
            }
            Err(absent) => lost = lost.or(Some(absent.detail)),
        }
    }
    // Half a list would look like a whole one: what is missing from it could be the module that matters.
    let why = match (end, lost) {
        (WalkEnd::Complete, None) => return Ok(Some(names)),
        (WalkEnd::Complete, Some(lost)) => format!("a name in the module list cannot be read: {lost}"),
        (end, _) => format!("the module list {end}"),
    };
    Err(Absent::unreadable(format!("{why} (read before that: {})", names.join(", "))))
}

//! What is loaded into the process: SMSS-016.

use super::EXITED;
use super::ranges::{Ranges, text};
use crate::Process;
use crate::checks::case::Case;
use crate::checks::paths::VolumePath;
use crate::checks::rule::{About, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::words::same;
use crate::checks::{Confidence, Outcome, Severity, Why, Witness};
use crate::kernel::Vad;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// SMSS-016: native modules only.
pub static MODULES: Rule = Rule {
    id: "SMSS-016",
    title: "native modules only",
    wrong: "modules beside smss.exe and ntdll.dll",
    core: false,
    attack: &["T1055.001"],
    about: About {
        what: "The loader lists of the PEB and the images in the VAD tree name smss.exe and ntdll.dll of System32 \
               and nothing else, at the places of these images.",
        why: "smss.exe is a native program: there is no Win32 yet when it starts, and it loads no library. Another \
               image in it was brought in from outside.",
        benign: "Windows 7 maps apisetschema.dll into every process. The files of a container lie in layers whose \
               place has not been observed: judged by their names. Where the loader lists are paged out the VAD \
               tree alone is judged, with medium confidence.",
        source: "Windows Internals 6th edition part 2 (native application); loader lists of Windows 7 in public \
               write-ups.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| modules(case, subject, outcome)),
};

/// Whether a file is one of the few modules of the process, smss.exe and ntdll.dll of this Windows.
pub(super) fn is_native(case: &Case<'_>, subject: &Subject<'_>, file: &str) -> bool {
    VolumePath::read(file).is_some_and(|path| {
        case.core.modules.into_iter().flatten().any(|below| {
            // A container's files lie in layers whose place on the host has not been observed.
            case.root.holds(&path, below)
                || (subject.role == Role::Silo
                    && below.rsplit('\\').next().is_some_and(|name| same(name, path.base_name())))
        })
    })
}

fn modules(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let Some(own) = case.core.modules else {
        return outcome.not_applicable("It loads many modules.");
    };
    let names: Vec<&str> = own.iter().filter_map(|below| below.rsplit('\\').next()).collect();
    let expected = match names.as_slice() {
        [one, two] => format!("{one} and {two}, both from System32"),
        all => all.join(", "),
    };
    let listed = process.modules.value().filter(|modules| !modules.is_empty());
    if process.has_exited() && listed.is_none() {
        return outcome.not_applicable(EXITED);
    }
    let of_build = |path: &VolumePath| {
        let in_force = |builds: &RangeInclusive<u32>| case.build.is_none_or(|build| builds.contains(&build));
        case.core.modules_of_builds.iter().any(|(builds, below)| in_force(builds) && case.root.holds(path, below))
    };
    let known =
        |file: &str| is_native(case, subject, file) || VolumePath::read(file).is_some_and(|path| of_build(&path));
    let all = listed.map_or(&[][..], Vec::as_slice);
    let of = |is: &dyn Fn(&String) -> bool| -> Vec<usize> {
        all.iter().enumerate().filter(|(_, file)| is(file)).map(|(number, _)| number).collect()
    };
    let foreign = of(&|file| !known(file));
    let shown = if foreign.is_empty() { of(&|_| true) } else { foreign };
    let mut outcome = outcome.expected(expected).seen_items(process, "modules", all, &shown);
    let mut others: Vec<String> =
        listed.into_iter().flatten().filter(|file| !file.is_empty() && !known(file)).cloned().collect();
    let ranges = Ranges::of(process);
    let images: Vec<&Vad> = ranges.iter().flat_map(|ranges| ranges.vads).filter(|vad| is_image(vad)).collect();
    for vad in &images {
        if let Some(file) = vad.file.value().filter(|file| !known(file)) {
            let at = vad.at("file");
            outcome = outcome.seen_at(process, "_MMVAD", "Subsection", at, Some(file.clone())).of_code(&vad.start);
            // What the lists name too is said once.
            let of_range = VolumePath::read(file);
            let is_listed = |listed: &String| {
                VolumePath::read(listed)
                    .zip(of_range.as_ref())
                    .is_some_and(|(of_list, of_range)| case.root.agree(&of_list, of_range))
            };
            match others.iter_mut().find(|other| is_listed(other)) {
                Some(other) => other.push_str(&format!(" at {}", text(&vad.start))),
                None => others.push(format!("{file} at {}", text(&vad.start))),
            }
        }
    }
    // A range that claims a file which is mapped elsewhere in the process already: a program is mapped once.
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for vad in images.iter().filter(|vad| vad.file.value().is_some_and(|file| known(file))) {
        let (file, start) = (text(&vad.file), text(&vad.start));
        if let Some(first) = places.insert(file.to_ascii_lowercase(), start.clone()) {
            let at = vad.at("file");
            outcome = outcome.seen_at(process, "_MMVAD", "Subsection", at, Some(file.clone())).of_code(&vad.start);
            others.push(format!("a second {file} at {start}, beside the one at {first}"));
        }
    }
    if !others.is_empty() {
        return outcome.observed(format!("also {}", others.join(", "))).violation(Severity::High);
    }
    let astray = ranges.as_ref().ok().filter(|ranges| ranges.part.is_none()).and_then(|ranges| astray(process, ranges));
    if let Some(astray) = astray {
        return outcome.observed(astray).violation(Severity::Medium);
    }
    if all.iter().any(String::is_empty) {
        return outcome.unknown("the name of a module in the loader's list", "empty: its page may be torn");
    }
    // An image that was taken out of the lists is still in the memory map, so that the lists alone prove nothing.
    let ranges = match ranges {
        Ok(ranges) => ranges,
        Err(why) => return outcome.unknown("the memory map", why),
    };
    if let Some(nameless) = images.iter().find(|vad| vad.file.value().is_none()) {
        let needs = format!("the file of the image at {}", text(&nameless.start));
        return outcome.unknown(&needs, Why::no_value(&nameless.file));
    }
    if let Some(part) = ranges.part {
        return outcome.unknown("the whole memory map", part);
    }
    if images.is_empty() {
        return outcome.unknown("an image in the memory map", "not there");
    }
    let files: Vec<&str> = images.iter().filter_map(|vad| vad.file.value()).map(String::as_str).collect();
    let outcome = outcome.observed(files.join(", ")).witnessed([Witness::Ranges]);
    match listed {
        Some(_) => outcome.pass(),
        None => outcome
            .confidence(Confidence::Medium)
            .reason(format!("The memory map alone was judged: the module list is {}.", Why::no_value(&process.modules)))
            .pass(),
    }
}

/// What the loader's list says of a module that its ranges contradict: where it lies, or where the loader calls it.
fn astray(process: &Process, ranges: &Ranges<'_>) -> Option<String> {
    let loaded = process.inside.value()?.loaded.value()?;
    loaded.iter().find_map(|module| {
        let (base, name) = (*module.base.value()?, text(&module.name));
        let Some(image) = ranges.at(base).filter(|vad| is_image(vad) && vad.start.value() == Some(&base)) else {
            return Some(format!("{name} is at {base} by the loader's list, where no image begins"));
        };
        let entry = *module.entry_point.value()?;
        let within =
            image.end.value().is_some_and(|end| (base..=*end).contains(&entry)) && !ranges.is_behind(image, entry);
        (!within).then(|| format!("the loader calls {name} at {entry}, outside of its image"))
    })
}

pub(super) fn is_image(vad: &Vad) -> bool {
    vad.kind.value().is_some_and(|kind| kind == "image")
}

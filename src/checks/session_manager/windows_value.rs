//! SMR-03 and 04: `SubSystems\Windows`, the user half of the Windows subsystem.

use super::Answer;
use super::answer::shortened;
use super::facts::{self, ServerDll};
use super::keys::{HiveKey, Keys};
use super::windows_line::{Server, WindowsLine, is_shared_section};
use crate::checks::paths::VolumePath;
use crate::checks::places::path;
use crate::checks::rule::{About, Rule};
use crate::checks::words::{lower, same};
use crate::checks::{Outcome, Severity};

/// SMR-03: Windows starts csrss from System32.
pub static PROGRAM: Rule = Rule {
    id: "SMR-03",
    title: "Windows starts csrss from System32",
    wrong: "Windows does not start csrss from System32 as usual",
    core: true,
    attack: &["T1574"],
    about: About {
        what: "The first word of SubSystems\\Windows is %SystemRoot%\\system32\\csrss.exe, and the parameters \
               behind it are the usual ones.",
        why: "smss.exe starts this command line for every session.",
        benign: "The numbers of SharedSection are tuned by administrators: only their form is judged.",
        source: "Microsoft support articles on the desktop heap; command lines of csrss.exe in listings of XP to \
               Windows 11.",
    },
    judge: |case, _| vec![program(&Keys::new(case))],
};

/// SMR-04: ServerDll list.
pub static SERVER_DLLS: Rule = Rule {
    id: "SMR-04",
    title: "ServerDll list",
    wrong: "csrss loads other server DLLs",
    core: true,
    attack: &["T1574"],
    about: About {
        what: "The ServerDll parameters of SubSystems\\Windows are those that the build ships: basesrv, winsrv with \
               its entry points, sxssrv from Windows 7 on, each with its index.",
        why: "csrss.exe loads these DLLs into every session. ZeroAccess put consrv in the place of winsrv's \
               console entry.",
        benign: "Upgrades leave the console entry of before Windows 8 (info); hand-written values lack sxssrv (low). \
               Without the build what only some versions have is let pass.",
        source: "Command lines of csrss.exe in listings of XP to Windows 11; Microsoft support articles; public \
               reports on ZeroAccess.",
    },
    judge: |case, _| vec![server_dlls(&Keys::new(case))],
};

/// The value that both rules are about.
pub(super) const VALUE: &str = "Windows";
const CSRSS: &str = "%SystemRoot%\\system32\\csrss.exe";

/// The value in parts, if it is known; that it is missing or empty is noted as a violation.
fn line<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, expected: &str) -> Option<WindowsLine<'a>> {
    let text = answer.text(key, VALUE)?;
    let line = text.and_then(WindowsLine::read);
    if line.is_none() {
        let words = if text.is_none() { "no such value" } else { "empty" };
        answer.violation(key, VALUE, Severity::Critical, words, expected);
    }
    line
}

/// Whether the first word of a command line is csrss.exe from System32.
pub(super) fn is_csrss(keys: &Keys<'_>, program: &str) -> bool {
    path(program).is_some_and(|path| keys.case.root.holds(&path, "\\System32\\csrss.exe"))
}

/// A parameter: its name, how bad it is that it is another, what it should be, whether it is.
type Usual<'t> = (&'t str, Severity, &'t str, &'t dyn Fn(&str) -> bool);

/// csrss.exe from System32 is started, with the usual parameters.
fn program(keys: &Keys<'_>) -> Outcome {
    let key = keys.sub_systems();
    let mut answer = Answer::new(keys, &PROGRAM, CSRSS);
    let Some(line) = line(&mut answer, key, CSRSS) else { return answer.judge() };
    answer.pass(line.program);
    if !is_csrss(keys, line.program) {
        answer.violation(key, VALUE, Severity::Critical, shortened(line.program, 200), CSRSS);
    }
    let mut odd = |severity, words: String, expected: &str| {
        answer.violation(key, VALUE, severity, shortened(&words, 200), expected);
    };
    let is_old = keys.case.build.is_some_and(|build| build < facts::FIRST_WITH_THREE_FIELDS);
    let fields = if is_old { 2..=3 } else { 3..=3 };
    let usual: [Usual<'_>; 6] = [
        ("ObjectDirectory", Severity::High, "\\Windows", &|value| same(value, "\\Windows")),
        ("SharedSection", Severity::Medium, "three numbers", &|value| is_shared_section(value, fields.clone())),
        ("Windows", Severity::Low, "On", &|value| same(value, "On")),
        ("SubSystemType", Severity::Low, "Windows", &|value| same(value, "Windows")),
        ("ProfileControl", Severity::Info, "Off", &|value| same(value, "Off")),
        ("MaxRequestThreads", Severity::Info, "a number", &|value| value.parse::<u32>().is_ok()),
    ];
    for (name, severity, expected, fits) in usual {
        let expected = format!("{name}={expected}");
        let mut values = 0_usize;
        for value in line.values(name) {
            values = values.saturating_add(1);
            if !fits(value) {
                odd(severity, format!("{name}={value}"), &expected);
            }
        }
        match values {
            0 => odd(severity, format!("no {name}"), &expected),
            1 => {}
            more => odd(severity.max(Severity::Low), format!("{name} {more} times"), &expected),
        }
    }
    for (name, value) in &line.parameters {
        if !facts::PARAMETERS.iter().any(|known| same(known, name)) {
            let value = value.map_or_else(String::new, |value| format!("={value}"));
            odd(Severity::Low, format!("{name}{value}"), "no such parameter");
        }
    }
    answer.judge()
}

fn is(server: &Server<'_>, known: &ServerDll) -> bool {
    let entry = match (server.entry, known.entry) {
        (None, None) => true,
        (Some(a), Some(b)) => same(a, b),
        _ => false,
    };
    entry && same(server.module, known.module)
}

fn written(dll: &ServerDll) -> String {
    let entry = dll.entry.map_or_else(String::new, |entry| format!(":{entry}"));
    format!("{}{entry},{}", dll.module, dll.index)
}

/// The DLLs that csrss.exe serves with: each with the entry point and the index that the build ships.
fn server_dlls(keys: &Keys<'_>) -> Outcome {
    let key = keys.sub_systems();
    let build = keys.case.build;
    let expected: Vec<String> = facts::server_dlls(build).iter().map(written).collect();
    let expected = expected.join(" ");
    let mut answer = Answer::new(keys, &SERVER_DLLS, expected.clone());
    if build.is_none() {
        answer.unsure();
        answer.note("The build is not known: what only some versions have was let pass.");
    }
    let Some(line) = line(&mut answer, key, &expected) else { return answer.judge() };
    let servers = line.servers();
    answer.pass(servers.iter().map(|server| server.text).collect::<Vec<_>>().join(" "));
    let mut taken = std::collections::BTreeSet::new();
    for server in &servers {
        let text = format!("ServerDll={}", shortened(server.text, 200));
        let Some(known) = facts::SERVER_DLLS.iter().find(|known| is(server, known)) else {
            answer.violation(key, VALUE, Severity::Critical, text, &expected);
            continue;
        };
        match server.index {
            None => answer.violation(key, VALUE, Severity::Critical, format!("{text}, without index"), &expected),
            Some(index) if !taken.insert(index) => {
                answer.violation(key, VALUE, Severity::Critical, format!("{text}: index {index} twice"), &expected);
            }
            Some(index) if index != known.index => {
                answer.violation(key, VALUE, Severity::High, text, written(known));
            }
            Some(_) => not_of_this_build(&mut answer, key, known, &text, &expected),
        }
    }
    for known in facts::server_dlls(build) {
        if !servers.iter().any(|server| is(server, known)) {
            let severity = match known {
                _ if *known == facts::SIDE_BY_SIDE => Severity::Low,
                _ if *known == facts::CONSOLE => Severity::Medium,
                _ => Severity::Critical,
            };
            answer.violation(key, VALUE, severity, format!("no {}", written(known)), &expected);
            if *known == facts::SIDE_BY_SIDE {
                answer.guard("sxssrv alone is missing, as in a value written by hand from before Windows 7");
            }
        }
    }
    modules(&mut answer, key, &servers);
    answer.judge()
}

/// A DLL of Windows, and of another version of it.
fn not_of_this_build(answer: &mut Answer<'_, '_>, key: HiveKey<'_>, known: &ServerDll, text: &str, expected: &str) {
    let Some(build) = answer.keys.case.build else { return };
    if facts::server_dlls(Some(build)).contains(known) {
        return;
    }
    if *known == facts::CONSOLE {
        answer.violation(key, VALUE, Severity::Info, text, expected);
        answer.guard("left from a version before Windows 8, as upgrades do");
    } else if build < crate::picture::VISTA {
        answer.violation(key, VALUE, Severity::High, format!("{text}, before Windows 7"), expected);
    } else {
        answer.violation(key, VALUE, Severity::Low, format!("{text}, before Windows 7"), expected);
    }
}

/// What the running csrss.exe have loaded. Lists differ between builds: nothing of it counts.
fn modules(answer: &mut Answer<'_, '_>, key: HiveKey<'_>, servers: &[Server<'_>]) {
    let keys = answer.keys;
    for csrss in keys.case.running("csrss.exe") {
        let (Some(modules), Some(pid)) = (csrss.modules.value(), csrss.pid.value()) else { continue };
        let stem = |module: &str| {
            let name = lower(module.rsplit('\\').next().unwrap_or(module));
            name.rsplit_once('.').map_or(name.clone(), |(stem, _)| stem.to_owned())
        };
        let mut unusual = Vec::new();
        for module in modules {
            let place = VolumePath::read(module);
            let below =
                |directory: &str| place.as_ref().is_some_and(|path| keys.case.root.holds_below(path, directory));
            if !below("\\System32") && !below("\\WinSxS") && module.contains('\\') {
                let words = format!("csrss.exe {pid} has loaded {}", shortened(module, 200));
                answer.violation(key, VALUE, Severity::Info, words, "modules from System32");
            } else if !facts::CSRSS_MODULES.contains(&stem(module).as_str()) {
                unusual.push(stem(module));
            }
        }
        if !unusual.is_empty() {
            let names = shortened(&unusual.join(", "), 300);
            answer.note(format!("Modules of csrss.exe {pid} that are not among the usual ones: {names}."));
        }
        // A list that was cut off by a page that is not there proves nothing about what is missing from it.
        let has = |name: &str| modules.iter().any(|module| stem(module) == name);
        for server in servers.iter().filter(|_| has("basesrv") || has("winsrv")) {
            if !has(&stem(server.module)) {
                answer.note(format!("csrss.exe {pid} has not loaded {}.", shortened(server.module, 100)));
            }
        }
    }
}

//! SMR-03 and 04: `SubSystems\Windows`, the user half of the Windows subsystem.

use super::Sheet;
use super::facts::{self, ServerDll};
use super::ground::{Ground, HiveKey};
use super::places::path;
use super::sheet::shortened;
use super::windows_line::{Server, WindowsLine, is_shared_section};
use crate::checks::paths::{VolumePath, same};
use crate::checks::{Outcome, Severity};

/// The value that both rules are about.
pub(super) const VALUE: &str = "Windows";
const PROGRAM: &str = "%SystemRoot%\\system32\\csrss.exe";

/// The value in parts, if it is known; that it is missing or empty is noted as a violation.
fn line<'a>(sheet: &mut Sheet<'_, 'a>, key: HiveKey<'a>, expected: &str) -> Option<WindowsLine<'a>> {
    let text = sheet.text(key, VALUE)?;
    let line = text.and_then(WindowsLine::read);
    if line.is_none() {
        let words = if text.is_none() { "no such value" } else { "empty" };
        sheet.violation(key, VALUE, Severity::Critical, words, expected);
    }
    line
}

/// Whether the first word of a command line is csrss.exe from System32.
pub(super) fn is_csrss(ground: &Ground<'_>, program: &str) -> bool {
    path(program).is_some_and(|path| ground.scene.root.holds(&path, "\\System32\\csrss.exe"))
}

/// A parameter: its name, how bad it is that it is another, what it should be, whether it is.
type Usual<'t> = (&'t str, Severity, &'t str, &'t dyn Fn(&str) -> bool);

/// csrss.exe from System32 is started, with the usual parameters.
pub(super) fn program(ground: &Ground<'_>) -> Outcome {
    let key = ground.sub_systems();
    let mut sheet = Sheet::new(ground, "SMR-03", PROGRAM);
    let Some(line) = line(&mut sheet, key, PROGRAM) else { return sheet.judge() };
    sheet.pass(line.program);
    if !is_csrss(ground, line.program) {
        sheet.violation(key, VALUE, Severity::Critical, shortened(line.program, 200), PROGRAM);
    }
    let mut odd = |severity, words: String, expected: &str| {
        sheet.violation(key, VALUE, severity, shortened(&words, 200), expected);
    };
    let is_old = ground.scene.build.is_some_and(|build| build < facts::FIRST_WITH_THREE_FIELDS);
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
    sheet.judge()
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
pub(super) fn server_dlls(ground: &Ground<'_>) -> Outcome {
    let key = ground.sub_systems();
    let build = ground.scene.build;
    let expected: Vec<String> = facts::server_dlls(build).iter().map(written).collect();
    let expected = expected.join(" ");
    let mut sheet = Sheet::new(ground, "SMR-04", expected.clone());
    if build.is_none() {
        sheet.unsure();
        sheet.note("The build is not known: what only some versions have was let pass.");
    }
    let Some(line) = line(&mut sheet, key, &expected) else { return sheet.judge() };
    let servers = line.servers();
    sheet.pass(servers.iter().map(|server| server.text).collect::<Vec<_>>().join(" "));
    let mut taken = std::collections::BTreeSet::new();
    for server in &servers {
        let text = format!("ServerDll={}", shortened(server.text, 200));
        let Some(known) = facts::SERVER_DLLS.iter().find(|known| is(server, known)) else {
            sheet.violation(key, VALUE, Severity::Critical, text, &expected);
            continue;
        };
        match server.index {
            None => sheet.violation(key, VALUE, Severity::Critical, format!("{text}, without index"), &expected),
            Some(index) if !taken.insert(index) => {
                sheet.violation(key, VALUE, Severity::Critical, format!("{text}: index {index} twice"), &expected);
            }
            Some(index) if index != known.index => {
                sheet.violation(key, VALUE, Severity::High, text, written(known));
            }
            Some(_) => not_of_this_build(&mut sheet, key, known, &text, &expected),
        }
    }
    for known in facts::server_dlls(build) {
        if !servers.iter().any(|server| is(server, known)) {
            let severity = match known {
                _ if *known == facts::SIDE_BY_SIDE => Severity::Low,
                _ if *known == facts::CONSOLE => Severity::Medium,
                _ => Severity::Critical,
            };
            sheet.violation(key, VALUE, severity, format!("no {}", written(known)), &expected);
            if *known == facts::SIDE_BY_SIDE {
                sheet.guard("sxssrv alone is missing, as in a value written by hand from before Windows 7");
            }
        }
    }
    modules(&mut sheet, key, &servers);
    sheet.judge()
}

/// A DLL of Windows, and of another version of it.
fn not_of_this_build(sheet: &mut Sheet<'_, '_>, key: HiveKey<'_>, known: &ServerDll, text: &str, expected: &str) {
    let Some(build) = sheet.ground.scene.build else { return };
    if facts::server_dlls(Some(build)).contains(known) {
        return;
    }
    if *known == facts::CONSOLE {
        sheet.violation(key, VALUE, Severity::Info, text, expected);
        sheet.guard("left from a version before Windows 8, as upgrades do");
    } else if build < crate::picture::VISTA {
        sheet.violation(key, VALUE, Severity::High, format!("{text}, before Windows 7"), expected);
    } else {
        sheet.violation(key, VALUE, Severity::Low, format!("{text}, before Windows 7"), expected);
    }
}

/// What the running csrss.exe have loaded. Lists differ between builds: nothing of it counts.
fn modules(sheet: &mut Sheet<'_, '_>, key: HiveKey<'_>, servers: &[Server<'_>]) {
    let ground = sheet.ground;
    for csrss in ground.scene.running("csrss.exe") {
        let (Some(modules), Some(pid)) = (csrss.modules.value(), csrss.pid.value()) else { continue };
        let stem = |module: &str| {
            let name = module.rsplit('\\').next().unwrap_or(module).to_lowercase();
            name.rsplit_once('.').map_or(name.clone(), |(stem, _)| stem.to_owned())
        };
        let mut unusual = Vec::new();
        for module in modules {
            let place = VolumePath::read(module);
            let below =
                |directory: &str| place.as_ref().is_some_and(|path| ground.scene.root.holds_below(path, directory));
            if !below("\\System32") && !below("\\WinSxS") && module.contains('\\') {
                let words = format!("csrss.exe {pid} has loaded {}", shortened(module, 200));
                sheet.violation(key, VALUE, Severity::Info, words, "modules from System32");
            } else if !facts::CSRSS_MODULES.contains(&stem(module).as_str()) {
                unusual.push(stem(module));
            }
        }
        if !unusual.is_empty() {
            let names = shortened(&unusual.join(", "), 300);
            sheet.note(format!("Modules of csrss.exe {pid} that are not among the usual ones: {names}."));
        }
        // A list that was cut off by a page that is not there proves nothing about what is missing from it.
        let has = |name: &str| modules.iter().any(|module| stem(module) == name);
        for server in servers.iter().filter(|_| has("basesrv") || has("winsrv")) {
            if !has(&stem(server.module)) {
                sheet.note(format!("csrss.exe {pid} has not loaded {}.", shortened(server.module, 100)));
            }
        }
    }
}

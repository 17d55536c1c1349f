//! Variables by which frameworks load code into every process of their own, or are kept from telling what it does (of SMR-16).

use super::Answer;
use super::answer::shortened;
use super::environment::Values;
use super::keys::HiveKey;
use crate::checks::Severity;
use crate::checks::places::{Place, place};
use crate::checks::words::{same, strip, trim};

/// All of them.
pub(super) fn foreign_code<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, values: &Values<'a>) {
    for (prefix, enabled) in [("COR_", "COR_ENABLE_PROFILING"), ("CORECLR_", "CORECLR_ENABLE_PROFILING")] {
        profiler(answer, key, values, prefix, enabled);
    }
    startup_hooks(answer, key, values);
    blinded(answer, key, values);
    managers(answer, key, values);
    libraries(answer, key, values);
    agents(answer, key, values);
}

/// .NET loads the profiler that the environment names into every process of its own.
fn profiler<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, all: &Values<'a>, prefix: &str, enabled: &str) {
    let keys = answer.keys;
    let of_profiler = format!("{prefix}PROFILER");
    let values: Vec<(&str, String)> = all
        .0
        .iter()
        .filter(|(name, _)| strip(name, &of_profiler).is_some() || same(name, enabled))
        .map(|(name, data)| (*name, trim(data).to_owned()))
        .filter(|(_, data)| !data.is_empty())
        .collect();
    let on = values.iter().any(|(name, data)| same(name, enabled) && !is_zero(data));
    let named = values.iter().any(|(name, _)| !same(name, enabled));
    let is_path = |name: &str| strip(name, &of_profiler).is_some_and(|rest| strip(rest, "_PATH").is_some());
    let places: Vec<Place> = values
        .iter()
        .filter(|(name, _)| is_path(name))
        .map(|(_, data)| place(&keys.case.root, &all.expanded(data)))
        .collect();
    let by_class = if places.is_empty() { classes(answer, &values, enabled) } else { Vec::new() };
    let places: Vec<Place> = places.into_iter().chain(by_class.iter().map(|(place, _)| *place)).collect();
    let installed = !places.is_empty() && places.iter().all(|place| *place == Place::ProgramFiles);
    for (_, file) in &by_class {
        answer.note(format!("By its class the profiler is {}.", shortened(file, 200)));
    }
    for (name, data) in &values {
        let words = format!("{name} = {}", shortened(data, 200));
        let severity = match (on, named) {
            (_, true) if installed => Severity::Info,
            // Nobody loads it: it was left by a product that is gone, or is yet to be switched on.
            (false, true) => Severity::Info,
            // By its class alone, of which the registry of classes does not say where its file is.
            (true, true) if places.is_empty() => Severity::Medium,
            (true, true) => Severity::High,
            (true, false) => Severity::Low,
            (false, false) => Severity::Info,
        };
        answer.violation(key, name, severity, words, "no profiler");
        if named && !on {
            answer.guard("profiling is not switched on, so that .NET loads none");
        } else if installed {
            answer.guard("the profiler is below Program Files, where products that watch performance live");
        }
    }
}

/// Files of the classes that are named as profilers, as `SOFTWARE\Classes\CLSID` has them, for 64-bit and 32-bit programs.
fn classes(answer: &Answer<'_, '_>, values: &[(&str, String)], enabled: &str) -> Vec<(Place, String)> {
    let keys = answer.keys;
    let read = [&keys.read.profiler_classes, &keys.read.profiler_classes_32];
    let records = || read.into_iter().filter_map(|classes| classes.value());
    let named = values.iter().filter(|(name, _)| !same(name, enabled)).map(|(_, class)| class);
    let files = named.flat_map(|class| {
        records().filter_map(move |classes| {
            let class = classes.key(class);
            let server = class.value()?.key("InprocServer32");
            let file = trim(&server.value()?.data("").value()?.to_string()).trim_matches('"').to_owned();
            (!file.is_empty()).then_some(file)
        })
    });
    files.map(|file| (place(&keys.case.root, &file), file)).collect()
}

/// Assemblies that .NET loads into every process of its own before its program.
fn startup_hooks<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, values: &Values<'a>) {
    const NAME: &str = "DOTNET_STARTUP_HOOKS";
    let keys = answer.keys;
    let Some(Some(hooks)) = answer.text(key, NAME) else { return };
    let places: Vec<Place> = parts(values, hooks).iter().map(|hook| place(&keys.case.root, hook)).collect();
    let severity = if places.is_empty() {
        return;
    } else if places.contains(&Place::Writable) {
        Severity::High
    } else if places.iter().all(|place| *place == Place::ProgramFiles) {
        Severity::Info
    } else {
        Severity::Medium
    };
    answer.violation(key, NAME, severity, format!("{NAME} = {}", shortened(hooks, 200)), "no such value");
    if severity == Severity::Info {
        answer.guard("the hook is below Program Files, where products that watch performance live");
    }
}

/// Switches of .NET by which products see what its programs do, set to off for the whole machine.
fn blinded<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, values: &Values<'a>) {
    const SWITCHES: [(&str, Severity); 4] = [
        ("COMPlus_ETWEnabled", Severity::Low),
        ("DOTNET_ETWEnabled", Severity::Low),
        // Documented for hardening: it turns debuggers and profilers off too.
        ("COMPlus_EnableDiagnostics", Severity::Info),
        ("DOTNET_EnableDiagnostics", Severity::Info),
    ];
    for (name, data) in &values.0 {
        if let Some((_, severity)) = SWITCHES.iter().find(|(switch, _)| same(switch, name))
            && is_zero(trim(data))
        {
            let words = format!("{name} = {}: .NET tells nobody what its programs do", shortened(data, 60));
            answer.violation(key, name, *severity, words, "no such value");
        }
    }
}

fn is_zero(data: &str) -> bool {
    let digits = strip(data, "0x").unwrap_or(data);
    !digits.is_empty() && digits.bytes().all(|digit| digit == b'0')
}

/// The entries of a list, expanded.
fn parts(values: &Values<'_>, list: &str) -> Vec<String> {
    let whole = values.expanded(list);
    whole.split(';').map(|part| trim(part).trim_matches('"').to_owned()).filter(|part| !part.is_empty()).collect()
}

/// The application domain manager: an assembly that .NET Framework loads into every process of its own (T1574.014).
fn managers<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, values: &Values<'a>) {
    for (name, data) in &values.0 {
        if ["APPDOMAIN_MANAGER_ASM", "APPDOMAIN_MANAGER_TYPE"].iter().any(|known| same(known, name))
            && !trim(data).is_empty()
        {
            let words = format!("{name} = {}", shortened(data, 200));
            answer.violation(key, name, Severity::Medium, words, "no such value");
        }
    }
}

/// Directories and files that runtimes load code from before their own: harmless but where users can write.
fn libraries<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, values: &Values<'a>) {
    const NAMES: [&str; 9] = [
        "DOTNET_ADDITIONAL_DEPS",
        "DOTNET_SHARED_STORE",
        "DOTNET_ROOT",
        "DOTNET_GCPath",
        "DOTNET_GCName",
        "COMPlus_GCPath",
        "COMPlus_GCName",
        "DOTNET_JitPath",
        "COMPlus_JitPath",
    ];
    let keys = answer.keys;
    let is_writable = |entry: &String| place(&keys.case.root, entry) == Place::Writable;
    for (name, data) in &values.0 {
        let entries = parts(values, data);
        let found = if NAMES.iter().any(|known| same(known, name)) {
            entries.into_iter().find(is_writable)
        } else if same(name, "PSModulePath") {
            // The modules of Windows itself are found before those that follow.
            let of_windows =
                |entry: &String| matches!(place(&keys.case.root, entry), Place::System32 | Place::SystemRoot);
            entries.into_iter().take_while(|entry| !of_windows(entry)).find(is_writable)
        } else {
            None
        };
        if let Some(entry) = found {
            let words = format!("{name}: {}, where users can write", shortened(&entry, 200));
            answer.violation(key, name, Severity::Medium, words, "no directory of users");
        }
    }
    // Developers' machines have it, and programs of Windows are not in this language.
    for (name, data) in
        values.0.iter().filter(|(name, _)| ["PYTHONPATH", "PYTHONHOME"].iter().any(|known| same(known, name)))
    {
        if parts(values, data).iter().any(is_writable) {
            let words = format!("{name} = {}", shortened(data, 200));
            answer.violation(key, name, Severity::Info, words, "no directory of users");
            answer.guard("developers' machines have such a value");
        }
    }
}

/// Options of Java and Node.js by which a file is loaded into every process of theirs.
fn agents<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>, values: &Values<'a>) {
    const OPTIONS: [(&str, &[&str]); 4] = [
        ("JAVA_TOOL_OPTIONS", &["-javaagent:", "-agentpath:"]),
        ("_JAVA_OPTIONS", &["-javaagent:", "-agentpath:"]),
        ("JDK_JAVA_OPTIONS", &["-javaagent:", "-agentpath:"]),
        ("NODE_OPTIONS", &["--require=", "--import=", "--loader=", "--require", "--import", "--loader", "-r"]),
    ];
    let keys = answer.keys;
    for (name, data) in &values.0 {
        let Some((_, options)) = OPTIONS.iter().find(|(known, _)| same(known, name)) else { continue };
        let whole = values.expanded(data);
        let mut words = crate::checks::words::words(&whole);
        while let Some(word) = words.next() {
            let word = word.trim_matches('"');
            let Some(rest) = options.iter().find_map(|option| strip(word, option)) else { continue };
            let file = if rest.is_empty() { words.next().unwrap_or_default() } else { rest };
            let file = file.trim_matches('"');
            let severity =
                if place(&keys.case.root, file) == Place::Writable { Severity::Medium } else { Severity::Info };
            answer.violation(key, name, severity, format!("{name} loads {}", shortened(file, 200)), "no such option");
            if severity == Severity::Info {
                answer.guard("products that watch performance load their agents so");
            }
        }
    }
}

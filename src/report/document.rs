//! The document: what `--format json` writes and `--report` reads. `schema.md` beside this file describes it.

use super::{Event, Run, Whole, foreign};
use crate::image::ImageInfo;
use crate::kernel::objects::driver::DriverList;
use crate::machine::Machine;
use crate::memory_read::MemoryRead;
use crate::picture::{Mode, Motion, Picture};
use crate::registry::{HiveList, KeyRecord, SessionManagerKeys};
use crate::symbols::Manifest;
use crate::{Absent, Findings, KernelInfo, Process, ProcessList, Reading, System, Warning};
use serde::de::{Error as _, IgnoredAny, MapAccess};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The version of the document's form. It grows by additions only.
pub const SCHEMA: u32 = 1;

/// Everything that is known about one machine, and what the checks say of it.
///
/// Reading back a document that another tool wrote (one whose generator is not ntmem) turns what that tool left out into
/// unknowns, joins rows that are one process, and drops rows without a pid, with a warning for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// `ntmem 0.1.0`. `None`: another tool's document.
    pub generator: Option<String>,
    /// Who made what it was read back from: `ntmem 0.1.0`, `Volatility 3`. `None`: it was read from an image.
    pub saved_by: Option<String>,
    /// The machine. Its warnings are those of the document.
    pub system: System,
    /// What was checked. Not read back: checks are pure, and run again.
    pub checks: Vec<Findings>,
    /// The hives, where they were asked for. Not read back.
    pub hives: Option<HiveList>,
    /// A key, where one was asked for. Not read back.
    pub registry: Option<KeyRecord>,
    /// Bytes of memory, where some were asked for. Not read back.
    pub read: Option<MemoryRead>,
    /// The symbols that images need, where that was asked for. Not read back.
    pub symbols: Option<Manifest>,
    /// One process whole, where that was asked for. Not read back.
    pub whole: Option<Whole>,
    /// What happened when, where that was asked for. Not read back.
    pub timeline: Option<Vec<Event>>,
    /// How the report was made. Not read back.
    pub run: Run,
}

/// `ntmem 0.1.0`
#[must_use]
pub fn generator() -> String {
    format!("ntmem {}", env!("CARGO_PKG_VERSION"))
}

impl Report {
    /// A report of this version of ntmem, with nothing checked yet.
    #[must_use]
    pub fn new(system: System) -> Self {
        Self {
            generator: Some(generator()),
            saved_by: None,
            system,
            checks: Vec::new(),
            hives: None,
            registry: None,
            read: None,
            symbols: None,
            whole: None,
            timeline: None,
            run: Run::default(),
        }
    }
}

/// A report as it is written: the records, with what follows from them.
#[derive(Debug)]
pub struct Document<'a, 's> {
    report: &'a Report,
    picture: &'a Picture<'s>,
    lists: Lists,
}

/// Which of the long lists a document holds. What image, kernel and machine it is, how the lists ended, the sessions, and what was
/// asked for by itself (a key, a timeline) are in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// All that was read and all that follows from it: what `--report` judges whole.
    All,
    /// The processes.
    Processes,
    /// None but the sessions.
    Sessions,
    /// Which sources hold each process.
    CrossView,
    /// All but the processes, one by one.
    Machine,
}

impl<'a, 's> Document<'a, 's> {
    /// The document of a report and the picture of its system.
    #[must_use]
    pub const fn new(report: &'a Report, picture: &'a Picture<'s>) -> Self {
        Self { report, picture, lists: Lists::All }
    }

    /// The same with some lists only.
    #[must_use]
    pub const fn with(self, lists: Lists) -> Self {
        Self { lists, ..self }
    }

    fn holds(&self, list: Lists) -> bool {
        self.lists == Lists::All || self.lists == list
    }
}

/// A process without what is long and no list shows.
fn as_listed(process: &Process) -> Process {
    let left_out = || Absent::not_collected("lists leave it out: show and check have it");
    Process {
        located: BTreeMap::new(),
        token: Reading::Absent(left_out()),
        inside: Reading::Absent(left_out()),
        ..process.clone()
    }
}

/// The machine with the states that its records tell.
#[derive(Serialize)]
struct MachineInModes<'a> {
    #[serde(flatten)]
    machine: &'a Machine,
    modes: &'a [Mode],
    motion: &'a Motion,
}

impl Serialize for Document<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { report, picture, .. } = self;
        let system = picture.system();
        let warnings: Vec<String> = system.warnings.iter().map(Warning::to_string).collect();
        let machine = MachineInModes { machine: &system.machine, modes: picture.modes(), motion: picture.motion() };
        let mut document = to.serialize_struct("Report", 15)?;
        document.serialize_field("schema", &SCHEMA)?;
        document.serialize_field("generator", &report.generator)?;
        document.serialize_field("run", &report.run)?;
        document.serialize_field("warnings", &warnings)?;
        document.serialize_field("image", &system.image)?;
        document.serialize_field("kernel", &system.kernel)?;
        document.serialize_field("system", &machine)?;
        if self.lists == Lists::All {
            document.serialize_field("processes", &system.processes)?;
        } else {
            let listed = self.lists == Lists::Processes;
            let end_and_views = ProcessList {
                items: system.processes.items.iter().filter(|_| listed).map(as_listed).collect(),
                views: system.processes.views.clone(),
                unread: system.processes.unread.clone(),
                one_way: system.processes.one_way.clone(),
                unowned_roots: system.processes.unowned_roots.clone(),
                ..system.processes
            };
            document.serialize_field("processes", &end_and_views)?;
        }
        document.serialize_field("sessions", picture.sessions())?;
        if self.holds(Lists::CrossView) {
            document.serialize_field("cross_view", picture.cross_view())?;
        }
        if self.holds(Lists::Machine) {
            document.serialize_field("drivers", &system.drivers)?;
            document.serialize_field("session_manager", &system.session_manager)?;
        }
        document.serialize_field("checks", &report.checks)?;
        match &report.hives {
            Some(hives) => document.serialize_field("hives", hives)?,
            None => document.skip_field("hives")?,
        }
        match &report.registry {
            Some(key) => document.serialize_field("registry", key)?,
            None => document.skip_field("registry")?,
        }
        match &report.read {
            Some(read) => document.serialize_field("read", read)?,
            None => document.skip_field("read")?,
        }
        match &report.symbols {
            Some(symbols) => document.serialize_field("symbols", symbols)?,
            None => document.skip_field("symbols")?,
        }
        if let Some(events) = &report.timeline {
            document.serialize_field("timeline", events)?;
        }
        if let Some(whole) = &report.whole {
            whole.members(&mut document)?;
        }
        document.end()
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Document::new(self, &Picture::new(&self.system)).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Report {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Visitor)
    }
}

struct Visitor;

impl<'de> serde::de::Visitor<'de> for Visitor {
    type Value = Report;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a report: an object with the members schema, system, processes and so on")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Report, A::Error> {
        let mut generator: Option<String> = None;
        let mut system = System::default();
        let mut known = false;
        while let Some(key) = map.next_key::<String>()? {
            known |= matches!(key.as_str(), "schema" | "generator" | "image" | "kernel" | "system" | "processes");
            match key.as_str() {
                "schema" => {
                    let schema = map.next_value::<Option<u32>>()?;
                    if schema.is_some_and(|schema| schema != SCHEMA) {
                        return Err(A::Error::custom(format!(
                            "the document has schema {}, this version reads {SCHEMA}",
                            schema.unwrap_or_default()
                        )));
                    }
                }
                "generator" => generator = map.next_value()?,
                "warnings" => {
                    let texts = map.next_value::<Option<Vec<Text>>>()?.unwrap_or_default();
                    system.warnings =
                        texts.into_iter().filter_map(|Text(text)| text.map(|text| warning(&text))).collect();
                }
                "image" => system.image = map.next_value::<Option<ImageInfo>>()?,
                "kernel" => system.kernel = map.next_value::<Option<KernelInfo>>()?,
                "system" => system.machine = map.next_value::<Option<Machine>>()?.unwrap_or_default(),
                "drivers" => system.drivers = map.next_value::<Option<DriverList>>()?.unwrap_or_default(),
                "session_manager" => {
                    system.session_manager = map.next_value::<Option<SessionManagerKeys>>()?.unwrap_or_default();
                }
                "processes" => system.processes = map.next_value::<Option<ProcessList>>()?.unwrap_or_default(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if !known {
            return Err(A::Error::custom("this is no report: it has none of a report's members"));
        }
        if !generator.as_deref().is_some_and(|generator| generator.starts_with("ntmem")) {
            foreign::adopt(&mut system);
        }
        let saved_by = Some(generator.clone().unwrap_or_else(|| "another tool".to_owned()));
        Ok(Report { generator, saved_by, ..Report::new(system) })
    }
}

/// `about: message`, as warnings are written.
fn warning(text: &str) -> Warning {
    match text.split_once(": ") {
        Some((about, message)) => Warning::new(about, message),
        None => Warning::new("document", text),
    }
}

/// A string; anything else is passed over.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(String),
            Other(IgnoredAny),
        }
        Ok(Self(match Any::deserialize(from)? {
            Any::Text(text) => Some(text),
            Any::Other(_) => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ListEnd;

    fn read(text: &str) -> Result<Report, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut system = System::default();
        system.warnings.push(Warning::new("processes", "the walk broke off: at 0x1000"));
        system.processes.end = Some(ListEnd::Broken);
        system.processes.items.push(Process {
            pid: Reading::Value(4),
            ppid: Reading::Value(0),
            path: Reading::Nothing,
            session: Reading::Nothing,
            exited: Reading::Nothing,
            ..Process::default()
        });
        let text = serde_json::to_string(&Report::new(system.clone())).unwrap();
        let back = read(&text).unwrap();
        assert_eq!(back.system, system);
        assert!(text.starts_with(r#"{"schema":1,"generator":"ntmem "#), "{text}");
        assert!(text.contains(r#""warnings":["processes: the walk broke off: at 0x1000"]"#));
    }

    #[test]
    fn null_means_not_read_in_a_foreign_document() {
        let rows = r#"{"processes": {"end": "complete", "items": [
            {"pid": 4, "ppid": 0, "name": "System", "created": null, "exited": null, "threads": 90, "session": null},
            {"pid": 8, "ppid": 4, "name": "x", "exited": null, "threads": 0, "groups": []}]}}"#;
        let foreign = read(rows).unwrap().system.processes.items;
        assert!(foreign[0].created.absent().is_some());
        assert!(foreign[0].session.absent().is_some());
        assert!(foreign[0].exited.is_nothing(), "it has threads");
        assert!(foreign[1].exited.absent().is_some());
        assert!(foreign[1].groups.absent().is_some());
        let own = read(&rows.replacen('{', r#"{"generator": "ntmem 0.1.0", "#, 1)).unwrap().system.processes.items;
        assert!(own[0].created.is_nothing());
        assert!(own[0].session.is_nothing());
        assert!(own[1].exited.is_nothing());
    }

    #[test]
    fn nulls_and_strangers_are_no_errors() {
        let report = read(
            r#"{"schema": 1, "image": null, "kernel": {"build": 7601, "pdb": null, "more": []}, "system": null,
                "processes": {"items": [null]}, "sessions": null, "checks": [1], "warnings": ["a", {"b": 1}], "x": {}}"#,
        )
        .unwrap();
        assert_eq!(report.system.kernel.unwrap().build, Some(7601));
        assert_eq!(report.system.warnings.len(), 1);
    }

    #[test]
    fn every_member_is_described() {
        let mut system =
            System { image: Some(ImageInfo::default()), kernel: Some(KernelInfo::default()), ..System::default() };
        let process = Process { session: Reading::Value(1), ..Process::default() };
        system.processes.items.push(process);
        let mut report = Report::new(system);
        report.checks.push(crate::check_smss(&report.system));
        let document = serde_json::to_value(&report).unwrap();
        let schema = include_str!("schema.md");
        let mut members: Vec<&String> = document.as_object().unwrap().keys().collect();
        for pointer in [
            "/image",
            "/kernel",
            "/system",
            "/processes",
            "/processes/items/0",
            "/sessions/0",
            "/checks/0",
            "/checks/0/outcomes/0",
        ] {
            members.extend(document.pointer(pointer).unwrap().as_object().unwrap().keys());
        }
        for member in members {
            assert!(schema.contains(&format!("`{member}`")), "{member} is not in schema.md");
        }
    }

    #[test]
    fn garbage_gives_a_clear_error() {
        for (text, words) in [
            ("[]", "expected a report"),
            ("{}", "no report"),
            (r#"{"a": 1}"#, "no report"),
            (r#"{"schema": 2}"#, "schema 2"),
            (r#"{"processes": {"items": [{"pid": "four"}]}}"#, "line 1"),
            (r#"{"processes": {"items": [{"created": "yesterday"}]}}"#, "RFC 3339"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}

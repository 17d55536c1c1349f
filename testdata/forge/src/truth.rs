//! What a forged image holds, to compare a reader's answers with.

use crate::hive_plan::HivePlan;
use crate::json::{self, Value};
use crate::page_plan::PagingFile;
use crate::time::Time;
use std::ops::Range;

/// The facts of one image, as the forge knows them.
#[derive(Clone, Debug)]
pub struct Truth {
    /// Virtual address of the kernel image.
    pub kernel_base: u64,
    /// Physical address of its first page.
    pub kernel_physical: u64,
    /// `SizeOfImage`.
    pub kernel_size: u64,
    /// Page-table root of System.
    pub dtb: u64,
    /// Build number.
    pub build: u32,
    /// `NtBuildLab`.
    pub lab: String,
    /// GUID of the kernel's PDB, 32 hex digits.
    pub guid: String,
    /// Its age.
    pub age: u32,
    /// Loaded kernel modules: name and base.
    pub loaded_modules: Vec<(String, u64)>,
    /// Bytes of the raw image.
    pub bytes: u64,
    /// Physical ranges that are memory.
    pub runs: Vec<Range<u64>>,
    /// `NtSystemRoot`.
    pub system_root: String,
    /// Boot time.
    pub boot: Time,
    /// Time of the image.
    pub captured: Time,
    /// Processes, in the order of the scenario.
    pub processes: Vec<TruthProcess>,
    /// What is left of others.
    pub relics: Vec<TruthRelic>,
    /// Registry hives, in list order.
    pub hives: Vec<TruthHive>,
    /// Pages that no hardware entry maps, as far as the scenario put them there.
    pub pages: Vec<TruthPage>,
    /// Page files by number.
    pub paging_files: Vec<PagingFile>,
}

/// A page that no hardware entry maps.
#[derive(Clone, Debug)]
pub struct TruthPage {
    /// Whose address space; none: the kernel's.
    pub pid: Option<u64>,
    /// Its address.
    pub address: u64,
    /// Whether it is the page table that maps this address.
    pub table: bool,
    /// Where it is.
    pub place: TruthPlace,
}

/// Where such a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TruthPlace {
    /// At this physical address.
    Memory(u64),
    /// In a page file.
    PageFile {
        /// Its number.
        number: u64,
        /// The page in it.
        index: u64,
    },
    /// In the compressed store.
    Store {
        /// The virtual store's number.
        number: u64,
        /// The page in it.
        index: u64,
    },
    /// Only in the file that is mapped there.
    OnlyInFile,
    /// Nowhere in what there is.
    Nowhere,
}

/// What is left of a process, or looks like one.
#[derive(Clone, Debug)]
pub struct TruthRelic {
    /// What it was.
    pub process: TruthProcess,
    /// What is left.
    pub remains: crate::scenario::Remains,
}

/// One hive.
#[derive(Clone, Debug)]
pub struct TruthHive {
    /// Address of its `_CMHIVE`.
    pub cmhive: u64,
    /// What is in it, undamaged.
    pub plan: HivePlan,
}

/// One process.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct TruthProcess {
    pub pid: u64,
    pub ppid: u64,
    pub name: Vec<u8>,
    pub eprocess: u64,
    pub physical: u64,
    pub dtb: u64,
    pub peb: Option<u64>,
    pub created: Time,
    pub exited: Option<Time>,
    pub session: Option<u32>,
    pub user: String,
    pub groups: Vec<String>,
    pub integrity: String,
    pub authentication_id: u64,
    pub token: u64,
    pub token_session: u32,
    pub path: Option<String>,
    pub peb_path: Option<String>,
    pub command_line: Option<String>,
    pub modules: Vec<String>,
    pub image_base: Option<u64>,
    pub section_base: Option<u64>,
    pub wow64: bool,
    pub threads: u32,
    pub handles: Option<u32>,
    pub base_priority: u8,
    pub protection: Option<u8>,
    pub critical: bool,
    pub in_active_list: bool,
    pub in_cid_table: bool,
    /// Which of the kernel's lists and tables hold it: `active_list`, `cid_table`, `session_list`, `mm_list`, `threads` (as the owner of
    /// one that has an id), `handle_tables`, `job_list`.
    pub sources: Vec<&'static str>,
    pub peb_readable: bool,
}

impl TruthProcess {
    /// The name as text, bytes that are no printable ASCII escaped.
    #[must_use]
    pub fn name_text(&self) -> String {
        self.name.escape_ascii().to_string()
    }
}

impl Truth {
    /// The process with this id (the first in order, if ids are used twice).
    #[must_use]
    pub fn process(&self, pid: u64) -> Option<&TruthProcess> {
        self.processes.iter().find(|p| p.pid == pid)
    }

    /// The facts as JSON. Addresses and masks are hex strings, times RFC 3339 UTC; null: there is none.
    #[must_use]
    pub fn to_json(&self) -> String {
        let hex16 = |v: u64| Value::text(&format!("{v:#018x}"));
        let kernel = json::object([
            ("base", hex16(self.kernel_base)),
            ("physical", hex16(self.kernel_physical)),
            ("size", Value::text(&format!("{:#010x}", self.kernel_size))),
            ("dtb", hex16(self.dtb)),
            ("build", Value::Number(u64::from(self.build))),
            ("lab", Value::text(&self.lab)),
            ("arch", Value::text("x64")),
            (
                "pdb",
                json::object([
                    ("name", Value::text("ntkrnlmp.pdb")),
                    ("guid", Value::text(&self.guid)),
                    ("age", Value::Number(u64::from(self.age))),
                ]),
            ),
            (
                "loaded_modules",
                Value::Array(
                    self.loaded_modules
                        .iter()
                        .map(|(n, b)| json::object([("name", Value::text(n)), ("base", hex16(*b))]))
                        .collect(),
                ),
            ),
        ]);
        let runs = self.runs.iter().map(|r| Value::Array(vec![hex16(r.start), hex16(r.end)])).collect();
        json::object([
            ("schema", Value::Number(1)),
            ("kernel", kernel),
            ("physical", json::object([("bytes", Value::Number(self.bytes)), ("runs", Value::Array(runs))])),
            ("system_root", Value::text(&self.system_root)),
            ("boot", Value::text(&self.boot.to_string())),
            ("captured", Value::text(&self.captured.to_string())),
            ("processes", Value::Array(self.processes.iter().map(process_json).collect())),
            ("hives", Value::Array(self.hives.iter().map(hive_json).collect())),
            ("pages", Value::Array(self.pages.iter().map(page_json).collect())),
            ("paging_files", Value::Array(self.paging_files.iter().map(|f| Value::text(f.name())).collect())),
        ])
        .to_string()
    }
}

fn page_json(page: &TruthPage) -> Value {
    let hex16 = |v: u64| Value::text(&format!("{v:#018x}"));
    let mut pairs = vec![
        ("pid", page.pid.map_or(Value::Null, Value::Number)),
        ("address", hex16(page.address)),
        ("table", Value::Bool(page.table)),
    ];
    match page.place {
        TruthPlace::Memory(physical) => {
            pairs.extend([("where", Value::text("memory")), ("physical", hex16(physical))]);
        }
        TruthPlace::PageFile { number, index } => {
            pairs.extend([("where", Value::text("page file")), ("number", Value::Number(number))]);
            pairs.push(("index", Value::Number(index)));
        }
        TruthPlace::Store { number, index } => {
            pairs.extend([("where", Value::text("compressed store")), ("number", Value::Number(number))]);
            pairs.push(("index", Value::Number(index)));
        }
        TruthPlace::OnlyInFile => pairs.push(("where", Value::text("only in its file"))),
        TruthPlace::Nowhere => pairs.push(("where", Value::text("nowhere"))),
    }
    json::object(pairs)
}

fn hive_json(hive: &TruthHive) -> Value {
    json::object([
        ("cmhive", Value::text(&format!("{:#018x}", hive.cmhive))),
        ("path", Value::text(&hive.plan.path)),
        ("file", Value::text(&hive.plan.file)),
        ("root", Value::text(&hive.plan.root_path)),
        ("tree", hive.plan.root.to_json()),
    ])
}

fn process_json(p: &TruthProcess) -> Value {
    let hex16 = |v: u64| Value::text(&format!("{v:#018x}"));
    let texts = |list: &[String]| Value::Array(list.iter().map(|s| Value::text(s)).collect());
    let maybe_text = |t: &Option<String>| t.as_deref().map_or(Value::Null, Value::text);
    let maybe_hex = |t: Option<u64>| t.map_or(Value::Null, hex16);
    let number = |n: u64| Value::Number(n);
    json::object([
        ("pid", number(p.pid)),
        ("ppid", number(p.ppid)),
        ("name", Value::text(&p.name_text())),
        ("eprocess", hex16(p.eprocess)),
        ("physical", hex16(p.physical)),
        ("dtb", hex16(p.dtb)),
        ("peb", maybe_hex(p.peb)),
        ("created", Value::text(&p.created.to_string())),
        ("exited", p.exited.map_or(Value::Null, |t| Value::text(&t.to_string()))),
        ("session", p.session.map_or(Value::Null, |s| number(u64::from(s)))),
        ("user", Value::text(&p.user)),
        ("groups", texts(&p.groups)),
        ("integrity", Value::text(&p.integrity)),
        ("authentication_id", Value::text(&format!("{:#010x}", p.authentication_id))),
        ("token", hex16(p.token)),
        ("token_session", number(u64::from(p.token_session))),
        ("path", maybe_text(&p.path)),
        ("peb_path", maybe_text(&p.peb_path)),
        ("command_line", maybe_text(&p.command_line)),
        ("modules", texts(&p.modules)),
        ("image_base", maybe_hex(p.image_base)),
        ("section_base", maybe_hex(p.section_base)),
        ("wow64", Value::Bool(p.wow64)),
        ("threads", number(u64::from(p.threads))),
        ("handles", p.handles.map_or(Value::Null, |h| number(u64::from(h)))),
        ("base_priority", number(u64::from(p.base_priority))),
        ("protection", p.protection.map_or(Value::Null, |l| Value::text(&format!("{l:#04x}")))),
        ("critical", Value::Bool(p.critical)),
        ("in_active_list", Value::Bool(p.in_active_list)),
        ("in_cid_table", Value::Bool(p.in_cid_table)),
        ("peb_readable", Value::Bool(p.peb_readable)),
    ])
}

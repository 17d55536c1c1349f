//! The tables as C, so that a compiler can make a PDB out of them.
//!
//! Fields overlap in kernel types (anonymous unions are flattened in symbol tables), so each cluster of overlapping fields becomes an
//! anonymous union of packed structs; compilers flatten those again in CodeView. Gaps are unnamed bit-fields, which leave no trace there.

use crate::layout::{Field, Layout, Spec};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Globals that are no pointer-sized word: name and C declaration.
const GLOBALS: [(&str, &str); 16] = [
    ("PsActiveProcessHead", "struct _LIST_ENTRY PsActiveProcessHead"),
    ("PsLoadedModuleList", "struct _LIST_ENTRY PsLoadedModuleList"),
    ("CmpHiveListHead", "struct _LIST_ENTRY CmpHiveListHead"),
    ("HandleTableListHead", "struct _LIST_ENTRY HandleTableListHead"),
    ("NtBuildNumber", "unsigned long NtBuildNumber"),
    ("NtBuildLab", "char NtBuildLab[256]"),
    ("NtBuildLabEx", "char NtBuildLabEx[256]"),
    ("KdDebuggerDataBlock", "unsigned char KdDebuggerDataBlock[1024]"),
    ("KdVersionBlock", "struct _DBGKD_GET_VERSION64 KdVersionBlock"),
    ("KiProcessorBlock", "void *KiProcessorBlock[64]"),
    ("MiSystemPartition", "struct _MI_PARTITION MiSystemPartition"),
    ("MmPagingFile", "struct _MMPAGING_FILE *MmPagingFile[16]"),
    ("MiState", "struct _MI_SYSTEM_INFORMATION MiState"),
    ("ObTypeIndexTable", "struct _OBJECT_TYPE *ObTypeIndexTable[256]"),
    ("ObpInfoMaskToOffset", "unsigned char ObpInfoMaskToOffset[256]"),
    ("PspHostSiloGlobals", "struct _ESERVERSILO_GLOBALS PspHostSiloGlobals"),
];

/// C source that declares every type and defines every global of a layout.
#[must_use]
pub fn c_source(layout: &Layout) -> String {
    let mut out = String::from("/* Made by the forge out of its tables. */\n#pragma pack(push, 1)\n");
    for (name, kind) in &layout.types {
        writeln!(out, "{} {name};", if kind.union { "union" } else { "struct" }).expect("text");
    }
    let mut done = BTreeSet::new();
    for name in layout.types.keys() {
        emit_type(layout, name, &mut done, &mut out);
    }
    out.push_str("union ntmem_all_types {\n");
    for (n, name) in done.iter().enumerate() {
        writeln!(out, "  {} {name} m{n};", if layout.types[name].union { "union" } else { "struct" }).expect("text");
    }
    out.push_str("};\n#pragma pack(pop)\nunion ntmem_all_types ntmem_all_types;\n");
    // Decorated names are no C.
    for name in layout.globals.keys().filter(|n| n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
        let known = GLOBALS.iter().find(|g| g.0 == name).map(|g| g.1.to_owned());
        writeln!(out, "{};", known.unwrap_or_else(|| format!("void *{name}"))).expect("text");
    }
    // A section behind the data: Volatility 3's converter passes over symbols of the last one.
    out.push_str("__attribute__((section(\".tail\"))) int ntmem_tail = 1;\n");
    out.push_str("int start(void) { return 0; }\n");
    out
}

/// Emits a type after those that it holds.
fn emit_type(layout: &Layout, name: &str, done: &mut BTreeSet<String>, out: &mut String) {
    let kind = &layout.types[name];
    if kind.size == 0 || done.contains(name) {
        return;
    }
    for field in &kind.fields {
        if let Some(inner) = held(&field.spec) {
            emit_type(layout, inner, done, out);
        }
    }
    done.insert(name.to_owned());
    let word = if kind.union { "union" } else { "struct" };
    // Rows and unions are defined outside and held without a name, which a compiler flattens (the `-fms-extensions` of clang):
    // defined inside, they would be nested types in the PDB.
    let mut parts = 0;
    let mut body = String::new();
    if kind.union {
        for lane in lanes(layout, &kind.fields) {
            let text = lane_text(layout, &lane, 0, kind.size);
            writeln!(body, "  {};", part(name, &mut parts, "struct", &text, out)).expect("text");
        }
        // A union without a field as wide as itself still has its size.
        writeln!(body, "  {};", part(name, &mut parts, "struct", &gap(kind.size), out)).expect("text");
    } else {
        let mut at = 0;
        for cluster in clusters(layout, &kind.fields) {
            let start = cluster.iter().map(|f| f.offset).min().expect("not empty");
            let end = cluster.iter().map(|f| f.offset + layout.width(&f.spec)).max().expect("not empty");
            body.push_str(&gap(start - at));
            match cluster.as_slice() {
                [field] if !matches!(field.spec, Spec::Bits(..)) => {
                    writeln!(body, "  {};", declare(layout, &field.spec, &field.name)).expect("text");
                }
                fields => {
                    let mut rows = String::new();
                    for lane in self::lanes(layout, fields) {
                        let text = lane_text(layout, &lane, start, end - start);
                        write!(rows, "{}; ", part(name, &mut parts, "struct", &text, out)).expect("text");
                    }
                    writeln!(body, "  {};", part(name, &mut parts, "union", &rows, out)).expect("text");
                }
            }
            at = end;
        }
        body.push_str(&gap(kind.size - at));
    }
    writeln!(out, "{word} {name} {{\n{body}}};").expect("text");
    writeln!(out, "_Static_assert(sizeof({word} {name}) == {}, \"{name}\");", kind.size).expect("text");
}

/// Defines a helper type and says how to hold it.
fn part(name: &str, parts: &mut usize, word: &str, text: &str, out: &mut String) -> String {
    *parts += 1;
    let held = format!("{word} ntmem_{}_{parts}", name.trim_start_matches('_'));
    writeln!(out, "{held} {{ {text}}};").expect("text");
    held
}

/// The type that a field holds by value.
fn held(spec: &Spec) -> Option<&str> {
    match spec {
        Spec::Named(name) => Some(name),
        Spec::Array(_, item) => held(item),
        _ => None,
    }
}

/// Groups of fields whose bytes overlap, in order.
fn clusters(layout: &Layout, fields: &[Field]) -> Vec<Vec<Field>> {
    let mut sorted = fields.to_vec();
    sorted.sort_by_key(|f| f.offset);
    let mut out: Vec<Vec<Field>> = Vec::new();
    let mut end = 0;
    for field in sorted {
        let last = field.offset + layout.width(&field.spec);
        if field.offset >= end || out.is_empty() {
            out.push(Vec::new());
        }
        end = end.max(last);
        out.last_mut().expect("just pushed").push(field);
    }
    out
}

/// First and last bit of a field, counted from the start of its type.
fn bits(layout: &Layout, field: &Field) -> (u64, u64) {
    let start = field.offset * 8;
    match &field.spec {
        Spec::Bits(_, at, len) => (start + u64::from(*at), start + u64::from(at + len)),
        spec => (start, start + layout.width(spec) * 8),
    }
}

/// Fields in as few rows as it takes so that no two of a row overlap or share a word without both being bits of it.
fn lanes(layout: &Layout, fields: &[Field]) -> Vec<Vec<Field>> {
    let mut sorted = fields.to_vec();
    sorted.sort_by_key(|f| bits(layout, f));
    let mut out: Vec<Vec<Field>> = Vec::new();
    for field in sorted {
        let fits = |lane: &Vec<Field>| {
            let last = lane.last().expect("lanes are not empty");
            let apart = last.offset + layout.width(&last.spec) <= field.offset;
            let siblings = matches!((&last.spec, &field.spec), (Spec::Bits(a, ..), Spec::Bits(b, ..)) if a == b)
                && last.offset == field.offset
                && bits(layout, last).1 <= bits(layout, &field).0;
            apart || siblings
        };
        match out.iter_mut().find(|lane| fits(lane)) {
            Some(lane) => lane.push(field),
            None => out.push(vec![field]),
        }
    }
    out
}

/// The members of a row that begins at `start` and has `size` bytes.
fn lane_text(layout: &Layout, lane: &[Field], start: u64, size: u64) -> String {
    let mut text = String::new();
    let out = &mut text;
    // Bits so far, from the start of the lane.
    let mut at = 0u64;
    let mut word = None;
    for field in lane {
        let (from, to) = bits(layout, field);
        let (from, to) = (from - start * 8, to - start * 8);
        if let Spec::Bits(base, ..) = &field.spec {
            let unit = ((field.offset - start) * 8, layout.width(base) * 8);
            if word.as_ref().is_some_and(|(w, _)| *w != unit) {
                at = close(&mut word, at, out);
            }
            if word.is_none() {
                out.push_str(&gap((unit.0 - at) / 8));
                at = unit.0;
            }
            let kind = declare(layout, base, "");
            if from > at {
                write!(out, "{kind} : {}; ", from - at).expect("text");
            }
            write!(out, "{kind} {} : {}; ", field.name, to - from).expect("text");
            word = Some((unit, kind));
        } else {
            at = close(&mut word, at, out);
            out.push_str(&gap((from - at) / 8));
            write!(out, "{}; ", declare(layout, &field.spec, &field.name)).expect("text");
        }
        at = to;
    }
    at = close(&mut word, at, out);
    out.push_str(&gap(size - at / 8));
    text
}

/// Fills up the word whose bits were being declared.
fn close(word: &mut Option<((u64, u64), String)>, at: u64, out: &mut String) -> u64 {
    let Some(((start, width), kind)) = word.take() else { return at };
    if at < start + width {
        write!(out, "{kind} : {}; ", start + width - at).expect("text");
    }
    start + width
}

/// So many bytes without a name.
fn gap(bytes: u64) -> String {
    "unsigned long long : 64; ".repeat((bytes / 8) as usize) + &"unsigned char : 8; ".repeat((bytes % 8) as usize)
}

/// A C declaration of a name.
fn declare(layout: &Layout, spec: &Spec, name: &str) -> String {
    match spec {
        Spec::Void => format!("void {name}"),
        Spec::Int { signed, bytes } => {
            let kind = match (bytes, signed) {
                (1, true) => "char",
                (1, false) => "unsigned char",
                (2, true) => "short",
                (2, false) => "unsigned short",
                (4, true) => "long",
                (4, false) => "unsigned long",
                (_, true) => "long long",
                (_, false) => "unsigned long long",
            };
            format!("{kind} {name}")
        }
        Spec::Named(to) if !layout.types.contains_key(to) => format!("void {name}"),
        Spec::Named(to) => format!("{} {to} {name}", if layout.types[to].union { "union" } else { "struct" }),
        Spec::Pointer(to) if matches!(**to, Spec::Array(..)) => declare(layout, to, &format!("(*{name})")),
        Spec::Pointer(to) => declare(layout, to, &format!("*{name}")),
        Spec::Array(count, item) => declare(layout, item, &format!("{name}[{count}]")),
        Spec::Bits(base, ..) => declare(layout, base, name),
    }
}

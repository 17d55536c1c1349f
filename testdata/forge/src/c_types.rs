//! A layout out of C headers of kernel types, as public collections have them: each declaration followed by a comment with its offset
//! (`// offset: 0x440 (1088)`), each type preceded by one with its size (`// 0xb80 (2944) bytes`).

use crate::builds::Build;
use crate::layout::{Field, Layout, Spec, Type};
use std::collections::BTreeMap;

impl Layout {
    /// Reads such a header of an x64 kernel. Headers name no globals and no PDB: the globals are those of the nearest build of the
    /// thirteen, as are types that the header lacks, and the GUID is made up. Only types that the forge's tables know, and what these
    /// embed, are kept.
    ///
    /// # Panics
    /// When the text has another form.
    #[must_use]
    pub fn from_header(text: &str, number: u32) -> Self {
        let build = match number {
            19_041..=19_045 => Build::W10_19045,
            _ => Build::ALL.into_iter().rev().find(|b| b.number() <= number).unwrap_or(Build::W7_7601),
        };
        let mut header = Header { tokens: tokens(text), at: 0, types: BTreeMap::new() };
        header.read();
        let mut layout = Self::of(build);
        if number != build.number() {
            layout = layout.numbered(number);
        }
        let known = layout.types.keys().cloned().collect();
        if number < 7600 {
            // Vista's object headers point to their type, and say themselves what lies before them.
            layout.globals.remove("ObTypeIndexTable");
            layout.globals.remove("ObpInfoMaskToOffset");
        }
        layout.replace_types(with_embedded(&header.types, known));
        layout.unknown(u64::from(number) << 32 | text.len() as u64)
    }
}

/// These types and all that lies in them, as far as there are such.
fn with_embedded(all: &BTreeMap<String, Type>, mut open: Vec<String>) -> BTreeMap<String, Type> {
    let mut out = BTreeMap::new();
    while let Some(name) = open.pop() {
        if let (false, Some(kind)) = (out.contains_key(&name), all.get(&name)) {
            let mut kind = kind.clone();
            // An empty type takes no room.
            kind.fields.retain(|f| embedded(&f.spec).is_none_or(|inner| all.contains_key(inner)));
            open.extend(kind.fields.iter().filter_map(|f| embedded(&f.spec)).map(str::to_owned));
            out.insert(name, kind);
        }
    }
    out
}

/// The type that lies in a field.
fn embedded(spec: &Spec) -> Option<&str> {
    match spec {
        Spec::Named(name) => Some(name),
        Spec::Array(_, inner) | Spec::Bits(inner, ..) => embedded(inner),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Mark(u8),
    /// A comment with the offset of the declaration before it.
    Offset(u64),
    /// A comment with the size of the type behind it.
    Size(u64),
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    // Long lines are wrapped, in the comment too.
    let mut open = false;
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (code, comment) = line.split_once("//").map_or((line, ""), |(a, b)| (a, b.trim()));
        let mut rest = code.trim_start();
        while let Some(first) = rest.bytes().next() {
            let word = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            out.push(if word > 0 { Token::Word(&rest[..word]) } else { Token::Mark(first) });
            rest = rest[word.max(1)..].trim_start();
        }
        let number = |text: &str| u64::from_str_radix(text.split(' ').next()?.strip_prefix("0x")?, 16).ok();
        let offset = comment.strip_prefix("offset:").map(str::trim_start);
        if let Some(offset) = offset.or(open.then_some(comment)).and_then(number) {
            out.push(Token::Offset(offset));
        } else if let Some(size) = number(comment) {
            out.push(Token::Size(size));
        }
        open = offset == Some("");
    }
    out
}

/// A number of which bit-fields take the bits: its offset, and how many are taken.
type Unit = (u64, u32);
const NONE: Unit = (u64::MAX, 0);

/// What a declarator says of a name.
struct Declared {
    name: String,
    spec: Spec,
    bits: Option<u32>,
}

struct Header<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    types: BTreeMap<String, Type>,
}

impl<'a> Header<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self, token: Token<'_>) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn mark(&mut self, mark: u8) -> bool {
        self.take(Token::Mark(mark))
    }

    fn word(&mut self) -> Option<&'a str> {
        let Some(Token::Word(word)) = self.peek() else { return None };
        self.at += 1;
        Some(word)
    }

    /// Goes to behind the next such mark at this depth.
    fn skip_past(&mut self, mark: u8) {
        let mut depth = 0;
        while let Some(token) = self.peek() {
            self.at += 1;
            match token {
                Token::Mark(m) if m == mark && depth == 0 => return,
                Token::Mark(b'{' | b'(') => depth += 1,
                Token::Mark(b'}' | b')') => depth -= 1,
                _ => {}
            }
        }
    }

    fn read(&mut self) {
        let mut size = 0;
        while let Some(token) = self.peek() {
            self.at += 1;
            match token {
                Token::Size(bytes) => size = bytes,
                Token::Word(word @ ("struct" | "union")) => {
                    let name = self.word().expect("a type has a name").to_owned();
                    if self.mark(b'{') {
                        let fields = self.members(&name, NONE);
                        if size > 0 {
                            self.types.insert(name, Type { union: word == "union", size, fields });
                        }
                    }
                    self.skip_past(b';');
                }
                Token::Word(_) => self.skip_past(b';'),
                _ => {}
            }
        }
    }

    /// The members up to the closing brace; members of unnamed members are the outer type's. `unit`: the offset of the number whose
    /// bits go on in this type, and how many of its bits are used. (Headers made of symbols tell no bit positions, and take the
    /// struct around the bits of a number apart when the number is in a union.)
    fn members(&mut self, owner: &str, mut unit: Unit) -> Vec<Field> {
        let mut out = Vec::new();
        while !self.mark(b'}') {
            while matches!(self.peek(), Some(Token::Word("volatile" | "const"))) {
                self.at += 1;
            }
            let start = self.at;
            if let Some(word @ ("struct" | "union")) = self.word()
                && self.mark(b'{')
            {
                self.nested(owner, word == "union", unit, &mut out);
                unit = NONE;
                continue;
            }
            self.at = start;
            let declared = self.declaration();
            let Some(Token::Offset(offset)) = self.peek() else { panic!("{owner}.{} has no offset", declared.name) };
            self.at += 1;
            let spec = if let Some(bits) = declared.bits {
                let fits = u64::from(unit.1 + bits) <= self.width(&declared.spec) * 8;
                unit = if unit.0 == offset && fits { unit } else { (offset, 0) };
                let position = unit.1;
                unit.1 += bits;
                Spec::Bits(Box::new(declared.spec), position, bits)
            } else {
                unit = NONE;
                declared.spec
            };
            if !declared.name.is_empty() {
                out.push(Field { name: declared.name, spec, offset });
            }
        }
        out
    }

    /// A struct or union within a type, behind its opening brace: with a name behind it, it is a type of its own.
    fn nested(&mut self, owner: &str, union: bool, unit: Unit, out: &mut Vec<Field>) {
        let from = self.at;
        // Its name comes last, and those of its own inner types hang on that.
        self.skip_past(b'}');
        let name = self.word();
        self.at = from;
        let inner = name.map(|n| format!("{owner}__{n}"));
        let mut fields = self.members(inner.as_deref().unwrap_or(owner), if inner.is_some() { NONE } else { unit });
        self.at += usize::from(name.is_some());
        let count = self.count();
        assert!(self.mark(b';'), "{owner}: no end of a member");
        let offset = if let Some(Token::Offset(offset)) = self.peek() { Some(offset) } else { None };
        self.at += usize::from(offset.is_some());
        let (Some(name), Some(inner), Some(offset)) = (name, inner, offset) else {
            out.append(&mut fields);
            return;
        };
        // Members of a named union count from the outer type, those of a named struct from itself.
        let start = if fields.iter().any(|f| f.offset < offset) { 0 } else { offset };
        let size = fields.iter().map(|f| f.offset - start + self.width(&f.spec)).max().unwrap_or(0);
        fields.iter_mut().for_each(|f| f.offset -= start);
        self.types.insert(inner.clone(), Type { union, size, fields });
        let spec = count.into_iter().rev().fold(Spec::Named(inner), |item, n| Spec::Array(n, Box::new(item)));
        out.push(Field { name: name.to_owned(), spec, offset });
    }

    /// `[n][m]`
    fn count(&mut self) -> Vec<u64> {
        let mut out = Vec::new();
        while self.mark(b'[') {
            out.push(self.word().and_then(|w| w.parse().ok()).unwrap_or(0));
            assert!(self.mark(b']'), "an array has a ]");
        }
        out
    }

    /// One declaration with its semicolon.
    fn declaration(&mut self) -> Declared {
        let mut spec = Spec::Void;
        let mut name = "";
        let mut words = Vec::new();
        while let Some(word) = self.word() {
            if !matches!(word, "volatile" | "const") {
                words.push(word);
            }
        }
        match words.as_slice() {
            ["struct" | "union", kind, rest @ ..] => {
                spec = Spec::Named((*kind).to_owned());
                name = rest.first().copied().unwrap_or("");
            }
            ["enum", _, rest @ ..] => {
                spec = Spec::Int { signed: true, bytes: 4 };
                name = rest.first().copied().unwrap_or("");
            }
            [kind, rest @ ..] => {
                spec = base(kind);
                name = rest.first().copied().unwrap_or("");
            }
            [] => {}
        }
        while self.mark(b'*') {
            spec = Spec::Pointer(Box::new(spec));
            while let Some(word) = self.word() {
                name = word;
            }
        }
        if self.mark(b'(') {
            // A pointer to a function: (*Name)(...), perhaps an array of such.
            spec = Spec::Void;
            while self.mark(b'*') {
                spec = Spec::Pointer(Box::new(spec));
            }
            name = self.word().unwrap_or("");
            spec = self.array_of(spec);
            self.skip_past(b')');
        }
        spec = self.array_of(spec);
        let bits = if self.mark(b':') { self.word().and_then(|w| w.parse().ok()) } else { None };
        self.skip_past(b';');
        Declared { name: name.to_owned(), spec, bits }
    }

    fn array_of(&mut self, spec: Spec) -> Spec {
        self.count().into_iter().rev().fold(spec, |item, n| Spec::Array(n, Box::new(item)))
    }

    /// How many bytes a spec of a type that was read before takes.
    fn width(&self, spec: &Spec) -> u64 {
        match spec {
            Spec::Int { bytes, .. } => *bytes,
            Spec::Void => 0,
            Spec::Named(name) => self.types.get(name).map_or(0, |t| t.size),
            Spec::Pointer(_) => 8,
            Spec::Array(n, item) => n * self.width(item),
            Spec::Bits(base, ..) => self.width(base),
        }
    }
}

fn base(name: &str) -> Spec {
    let (signed, bytes) = match name {
        "CHAR" | "int8_t" => (true, 1),
        "UCHAR" | "uint8_t" => (false, 1),
        "SHORT" | "int16_t" => (true, 2),
        "USHORT" | "WCHAR" | "uint16_t" => (false, 2),
        "LONG" | "HRESULT" | "int32_t" => (true, 4),
        "ULONG" | "uint32_t" | "float" => (false, 4),
        "LONGLONG" | "int64_t" => (true, 8),
        "ULONGLONG" | "uint64_t" | "double" => (false, 8),
        _ => return Spec::Void,
    };
    Spec::Int { signed, bytes }
}

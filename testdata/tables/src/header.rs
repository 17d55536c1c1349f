//! C headers of kernel types in which a comment behind every field gives its offset: `VOID *Peb; // offset: 0x550 (1360)`.

use ntmem::symbols::{FieldInfo, SymbolSource, Symbols, TypeInfo, Wanted};
use std::collections::HashMap;

/// Reads the wanted types, and those that they embed.
pub fn read(text: &str, pointer: u64, wanted: &Wanted) -> Symbols {
    let tokens = Tokens::of(text);
    let mut header = Header { pointer, typedefs: HashMap::new(), types: HashMap::new() };
    header.all(&tokens);
    let mut symbols = Symbols::new(SymbolSource::BuiltIn, None);
    let mut todo: Vec<String> = wanted.types.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = todo.pop() {
        if symbols.type_info(&name).is_some() {
            continue;
        }
        let Some(of) = header.types.get(&name).filter(|of| of.size > 0) else { continue };
        let mut fields = HashMap::new();
        for field in &of.fields {
            let size = header.size(&field.kind);
            let structure = if let Kind::Named(name) = &field.kind { Some(name.clone()) } else { None };
            let structure = structure.filter(|name| header.types.contains_key(name));
            todo.extend(structure.clone());
            let info = FieldInfo { offset: field.offset, size, bits: field.bits, structure };
            fields.entry(field.name.clone()).or_insert(info);
        }
        symbols = symbols.with_type(&name, TypeInfo { size: of.size, fields });
    }
    symbols
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Mark(char),
    /// `// offset: 0x10 (16)`
    Offset(u64),
    /// `// 0x18 (24) bytes`
    Size(u64),
}

struct Tokens;

impl Tokens {
    /// Comments that a formatter broke over several lines are joined first.
    fn of(text: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        let mut comment = String::new();
        for line in text.lines() {
            let (code, said) = line.split_once("//").map_or((line, None), |(code, said)| (code, Some(said)));
            if !code.trim().is_empty() || said.is_none() {
                tokens.extend(Self::comment(&comment));
                comment.clear();
            }
            let mut word = String::new();
            for c in code.chars() {
                if c.is_alphanumeric() || c == '_' {
                    word.push(c);
                    continue;
                }
                if !word.is_empty() {
                    tokens.push(Token::Word(std::mem::take(&mut word)));
                }
                if !c.is_whitespace() {
                    tokens.push(Token::Mark(c));
                }
            }
            if !word.is_empty() {
                tokens.push(Token::Word(word));
            }
            if let Some(said) = said {
                comment.push(' ');
                comment.push_str(said);
            }
        }
        tokens.extend(Self::comment(&comment));
        tokens
    }

    fn comment(said: &str) -> Option<Token> {
        let words: Vec<&str> = said.split_whitespace().collect();
        let number = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
        match words.as_slice() {
            ["offset:", at, ..] => number(at).map(Token::Offset),
            [size, _, "bytes"] => number(size).map(Token::Size),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
enum Kind {
    Int(u64),
    Pointer,
    Named(String),
    Array(Box<Kind>, u64),
    /// A structure or union without a name.
    Body(Vec<Member>),
}

#[derive(Clone, Debug)]
struct Member {
    name: String,
    kind: Kind,
    offset: u64,
    bits: Option<(u8, u8)>,
}

struct Type {
    size: u64,
    fields: Vec<Member>,
}

struct Header {
    pointer: u64,
    typedefs: HashMap<String, Kind>,
    types: HashMap<String, Type>,
}

/// A place in the tokens.
struct Cursor<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(&Token::Mark(mark));
        self.at += usize::from(found);
        found
    }

    fn word(&mut self) -> Option<String> {
        let Some(Token::Word(word)) = self.peek().cloned() else { return None };
        self.at += 1;
        Some(word)
    }
}

impl Header {
    fn all(&mut self, tokens: &[Token]) {
        let mut at = Cursor { tokens, at: 0 };
        let mut size = 0;
        while let Some(token) = at.next() {
            match token {
                Token::Size(bytes) => size = bytes,
                Token::Word(word) if word == "typedef" => self.typedef(&mut at),
                Token::Word(word) if matches!(word.as_str(), "struct" | "union") => {
                    let Some(name) = at.word() else { continue };
                    if at.eat('{') {
                        let fields = self.members(&mut at, None);
                        self.types.insert(name.clone(), Type { size, fields });
                        self.flatten_unnamed(&name);
                    }
                }
                Token::Word(word) if word == "enum" => {
                    if let Some(name) = at.word() {
                        self.typedefs.insert(name, Kind::Int(4));
                    }
                }
                _ => {}
            }
        }
    }

    fn typedef(&mut self, at: &mut Cursor<'_>) {
        let mut words = Vec::new();
        let mut pointer = false;
        while let Some(token) = at.next() {
            match token {
                Token::Word(word) => words.push(word),
                Token::Mark(';') => break,
                Token::Mark('*') => pointer = true,
                _ => {}
            }
        }
        let Some(name) = words.pop() else { return };
        let kind = if pointer { Kind::Pointer } else { self.base(words.last().map_or("", String::as_str)) };
        self.typedefs.insert(name, kind);
    }

    fn base(&self, word: &str) -> Kind {
        match word {
            "int8_t" | "uint8_t" | "char" | "bool" | "_Bool" => Kind::Int(1),
            "int16_t" | "uint16_t" | "short" | "wchar_t" => Kind::Int(2),
            "int32_t" | "uint32_t" | "int" | "long" | "float" => Kind::Int(4),
            "int64_t" | "uint64_t" | "double" => Kind::Int(8),
            "void" => Kind::Int(0),
            other => self.typedefs.get(other).cloned().unwrap_or_else(|| Kind::Named(other.to_owned())),
        }
    }

    /// Members up to the closing brace; those of parts without a name stand among them. `bits`: the bit-field in front of the
    /// part: where a union holds bits and a structure with the rest of them, they go on in it.
    fn members(&self, at: &mut Cursor<'_>, mut bits: Option<Member>) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::new();
        while !at.eat('}') && at.peek().is_some() {
            bits = self.member(at, &mut members, bits).filter(|member| member.bits.is_some());
        }
        members
    }

    /// Reads one member or part without a name, and returns the member.
    fn member(&self, at: &mut Cursor<'_>, members: &mut Vec<Member>, before: Option<Member>) -> Option<Member> {
        let mut words: Vec<String> = Vec::new();
        let mut body = None;
        let (mut pointer, mut function) = (false, false);
        let mut counts = Vec::new();
        let mut bits = None;
        loop {
            match at.next() {
                None | Some(Token::Mark(';')) => break,
                // The names of an enumeration's values.
                Some(Token::Mark('{')) if words.first().is_some_and(|word| word == "enum") => {
                    while !at.eat('}') && at.next().is_some() {}
                }
                Some(Token::Mark('{')) => body = Some(self.members(at, before.clone())),
                Some(Token::Mark('*')) => pointer = true,
                Some(Token::Mark('(')) => {
                    // A pointer to a function: its name is the first word, its arguments are nobody's.
                    if at.eat('*') {
                        function = true;
                        words.extend(at.word());
                    }
                    let mut depth = 1;
                    while depth > 0 {
                        match at.next() {
                            Some(Token::Mark('(')) => depth += 1,
                            Some(Token::Mark(')')) => depth -= 1,
                            None => break,
                            _ => {}
                        }
                    }
                }
                Some(Token::Mark('[')) => {
                    let count = at.word().and_then(|count| count.parse().ok()).unwrap_or(0);
                    counts.push(count);
                    at.eat(']');
                }
                Some(Token::Mark(':')) => bits = at.word().and_then(|bits| bits.parse::<u8>().ok()),
                Some(Token::Word(word)) if matches!(word.as_str(), "const" | "volatile") => {}
                Some(Token::Word(word)) => words.push(word),
                Some(_) => {}
            }
        }
        let offset = if let Some(Token::Offset(offset)) = at.peek() { Some(*offset) } else { None };
        at.at += usize::from(offset.is_some());
        let keyword = |word: &String| matches!(word.as_str(), "struct" | "union" | "enum");
        let enumeration = words.first().is_some_and(|word| word == "enum");
        words.retain(|word| !keyword(word));
        if let Some(inner) = body {
            match (words.pop(), offset) {
                (Some(name), Some(offset)) => {
                    // Offsets within count from the outer type in some headers, from the part itself in others.
                    let absolute = offset > 0 && inner.first().is_some_and(|first| first.offset >= offset);
                    let own =
                        |member: Member| Member { offset: member.offset - if absolute { offset } else { 0 }, ..member };
                    let kind = Kind::Body(inner.into_iter().map(own).collect());
                    members.push(Member { name, kind: array(kind, &counts), offset, bits: None });
                }
                _ => members.extend(inner),
            }
            return None;
        }
        let (name, offset) = words.pop().zip(offset)?;
        let kind = if pointer || function {
            Kind::Pointer
        } else if enumeration {
            Kind::Int(4)
        } else {
            self.base(words.last().map_or("", String::as_str))
        };
        let width = self.size(&kind);
        let bits = bits.map(|length| {
            // Bits follow one another in the same integer.
            let last = before.filter(|member| member.offset == offset).and_then(|member| member.bits);
            let next = last.map_or(0, |(position, length)| position + length);
            (if u64::from(next) + u64::from(length) <= width * 8 { next } else { 0 }, length)
        });
        members.push(Member { name, kind: array(kind, &counts), offset, bits });
        members.last().cloned()
    }

    /// Gives every part without a type name one, so that paths lead through it.
    fn flatten_unnamed(&mut self, owner: &str) {
        let Some(of) = self.types.get_mut(owner) else { return };
        let mut new = Vec::new();
        for field in &mut of.fields {
            if let Kind::Body(members) = &field.kind {
                let name = format!("{owner}::{}", field.name);
                new.push((name.clone(), members.clone()));
                field.kind = Kind::Named(name);
            }
        }
        for (name, fields) in new {
            let size = fields.iter().map(|field| field.offset + self.size(&field.kind)).max().unwrap_or(0);
            self.types.insert(name.clone(), Type { size, fields });
            self.flatten_unnamed(&name);
        }
    }

    fn size(&self, kind: &Kind) -> u64 {
        match kind {
            Kind::Int(bytes) => *bytes,
            Kind::Pointer => self.pointer,
            Kind::Named(name) => self.types.get(name).map_or(0, |of| of.size),
            Kind::Array(of, count) => self.size(of) * count,
            Kind::Body(members) => {
                members.iter().map(|member| member.offset + self.size(&member.kind)).max().unwrap_or(0)
            }
        }
    }
}

fn array(kind: Kind, counts: &[u64]) -> Kind {
    counts.iter().rev().fold(kind, |kind, count| Kind::Array(Box::new(kind), *count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_headers_hold() {
        let text = "
            typedef uint32_t ULONG; typedef uint64_t ULONGLONG; typedef void VOID;
            // 0x10 (16) bytes
            struct _IN { ULONG A; // offset: 0x0 (0)
              VOID *B[1]; // offset:
                          // 0x8 (8)
            };
            // 0x40 (64) bytes
            struct _OUT {
              enum {
                ONE = 1
              } Kind; // offset: 0x0 (0)
              ULONG Low : 3; // offset: 0x4 (4)
              ULONG High : 29; // offset: 0x4 (4)
              struct _IN In[2]; // offset: 0x8 (8)
              union {
                ULONG Flags; // offset: 0x28 (40)
                struct {
                  ULONG First : 1; // offset: 0x0 (0)
                  ULONG Second : 4; // offset: 0x0 (0)
                } Values; // offset: 0x28 (40)
              };
              VOID(*Call)
              (VOID *arg1); // offset: 0x30 (48)
              union {
                ULONGLONG Ref : 20; // offset: 0x38 (56)
                struct {
                  ULONGLONG Bits : 44; // offset: 0x38 (56)
                };
              } u; // offset: 0x38 (56)
            };";
        let wanted = Wanted { types: vec!["_OUT"], ..Wanted::default() };
        let symbols = read(text, 8, &wanted);
        assert_eq!(symbols.size_of("_OUT").unwrap(), 0x40);
        let place = |path: &str| symbols.field("_OUT", path).map(|it| (it.offset, it.size, it.bits)).unwrap();
        assert_eq!(place("Kind"), (0, 4, None));
        assert_eq!(place("High"), (4, 4, Some((3, 29))));
        assert_eq!(place("In"), (8, 32, None));
        assert_eq!(place("Values.Second"), (0x28, 4, Some((1, 4))));
        assert_eq!(place("Call"), (0x30, 8, None));
        assert_eq!(place("u.Bits"), (0x38, 8, Some((20, 44))));
    }
}

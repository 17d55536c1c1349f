//! The paths that Rust source names: `crate::a::{b, c::D}` gives `a::b` and `a::c::D`, each with its line.

/// A path from the crate's root, and the line that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub path: Vec<String>,
    pub line: usize,
}

/// Source without comments, texts, and modules that only tests have. Lines stay where they are.
pub fn code(source: &str) -> String {
    let (mut out, bytes) = (String::with_capacity(source.len()), source.as_bytes());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_text(rest) {
            raw
        } else if rest.starts_with('"') {
            text(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else {
            0
        };
        if skipped == 0 {
            let letter = rest.chars().next().unwrap();
            out.push(letter);
            at += letter.len_utf8();
        } else {
            out.extend(rest[..skipped].chars().filter(|letter| *letter == '\n'));
            at += skipped;
        }
    }
    without_test_modules(&out)
}

/// Length of a text in quotes.
fn text(rest: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a raw text, if one begins here.
fn raw_text(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let marks = after.bytes().take_while(|byte| *byte == b'#').count();
    let body = after[marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    let head = rest.len() - body.len();
    Some(body.find(&end).map_or(rest.len(), |at| head + at + end.len()))
}

fn without_test_modules(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, here) = rest.split_at(at);
        out.push_str(before);
        let item = here["#[cfg(test)]".len()..].trim_start();
        let end = match here.find(['{', ';']) {
            // A module, function or import for tests: all of it.
            Some(brace) if here.as_bytes()[brace] == b'{' => brace + block(&here[brace..]),
            Some(semicolon) if !item.is_empty() => semicolon + 1,
            _ => here.len(),
        };
        out.extend(here[..end].chars().filter(|letter| *letter == '\n'));
        rest = &here[end..];
    }
    out + rest
}

/// Length of a block in braces.
fn block(code: &str) -> usize {
    let mut depth = 0;
    for (at, letter) in code.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Every path from the crate's root in code of the module `module`, whether imported or written out.
pub fn named(code: &str, module: &[String]) -> Vec<Named> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(found) = ["crate::", "super::"].iter().filter_map(|word| code[at..].find(word)).min() {
        let start = at + found;
        let within = code[..start].chars().next_back().is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        let (mut base, mut rest) = (module.to_vec(), &code[start..]);
        if let Some(after) = rest.strip_prefix("crate::") {
            (base, rest) = (Vec::new(), after);
        }
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        if within {
            at = start + 1;
            continue;
        }
        let line = |left: &str| code[..code.len() - left.len()].matches('\n').count() + 1;
        let left = tree(rest, &base, &mut |path, left| all.push(Named { path, line: line(left) }));
        at = code.len() - left.len();
    }
    all
}

/// Every path that a file's public imports make names of its module: `pub use a::{b, C as D}` gives D for a::C.
pub fn given_on(code: &str) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let start = code[..at].rfind([';', '}', '\n']).map_or(0, |end| end + 1);
        if !code[start..at].trim().starts_with("pub") {
            continue;
        }
        let end = at + code[at..].find(';').unwrap();
        tree(&code[at + 4..end], &[], &mut |path, rest| {
            let named = rest.trim_start().strip_prefix("as ").map(|name| word(name.trim_start()).to_owned());
            if let Some(name) = named.or_else(|| path.last().cloned()) {
                all.push((name, path));
            }
        });
    }
    all
}

fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    &text[..end]
}

/// Reads `a::b`, `a::*`, `a::{b, c::d}`: tells each path with what follows it, and returns what follows them all.
fn tree<'t>(text: &'t str, base: &[String], tell: &mut impl FnMut(Vec<String>, &'t str)) -> &'t str {
    let mut rest = text.trim_start();
    if let Some(list) = rest.strip_prefix('{') {
        rest = list.trim_start();
        while !rest.starts_with('}') && !rest.is_empty() {
            rest = tree(rest, base, tell);
            // A new name for it.
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            rest = rest[end..].trim_start_matches(',').trim_start();
        }
        return rest.strip_prefix('}').unwrap_or(rest);
    }
    let name = if rest.starts_with('*') { "*" } else { word(rest) };
    if name.is_empty() {
        return &rest[rest.chars().next().map_or(0, char::len_utf8)..];
    }
    let path = [base, &[name.to_owned()]].concat();
    rest = &rest[name.len()..];
    match rest.strip_prefix("::") {
        // Not the generic arguments of `::<T>`.
        Some(after) if !after.starts_with('<') => tree(after, &path, tell),
        _ => {
            // `a::{self}` is a itself.
            tell(if name == "self" { base.to_vec() } else { path }, rest);
            rest
        }
    }
}

#[test]
fn paths_of_code() {
    let source = "use crate::{A, b::{self, C as D}};\n// crate::no\nfn f() -> crate::e::F<super::G> { \"crate::no\" }\n\
                  #[cfg(test)]\nmod tests {\n    use crate::no;\n}\nuse super::super::h;";
    let paths: Vec<(String, usize)> = named(&code(source), &["x".to_owned(), "y".to_owned()])
        .into_iter()
        .map(|named| (named.path.join("::"), named.line))
        .collect();
    let expected = [("A", 1), ("b", 1), ("b::C", 1), ("e::F", 3), ("x::G", 3), ("h", 8)];
    assert_eq!(paths, expected.map(|(path, line)| (path.to_owned(), line)));
    let given: Vec<(String, String)> = given_on("pub use a::{B, c::D as E};\nuse f::G;")
        .into_iter()
        .map(|(name, path)| (name, path.join("::")))
        .collect();
    assert_eq!(given, [("B", "a::B"), ("E", "a::c::D")].map(|(name, path)| (name.to_owned(), path.to_owned())));
}

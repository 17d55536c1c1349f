//! How much a name reads like `smss.exe`.

/// The way in which a name resembles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It is the name, but for upper and lower case.
    Case,
    /// One letter off; the stem.
    Near(String),
    /// Made to look like it; the means.
    Disguised(&'static str),
}

impl Likeness {
    pub(super) fn strength(&self) -> u8 {
        match self {
            Self::Case => 0,
            Self::Near(_) => 1,
            Self::Disguised(_) => 2,
        }
    }

    pub(super) fn words(&self) -> &'static str {
        match self {
            Self::Case => "another case",
            Self::Near(_) => "one letter off",
            Self::Disguised(means) => means,
        }
    }
}

const NAME: &str = "smss";
/// Forms in use that are further off than one letter.
const LISTED: &[&str] = &["smss32", "smss64"];
/// Extensions besides `.exe` that run.
const EXECUTABLE: &[&str] = &["com", "scr", "pif", "bat", "cmd"];
/// Longest stem in which one letter off still looks like the name.
const LONGEST_STEM: usize = 6;

/// Letters of other alphabets, accents, and signs that look like the letters of the name.
const CONFUSABLES: &[(&str, char)] = &[
    ("ѕꜱśŝşšșṡṣſʂƽꮪ𝐬𝑠𝒔𝓈𝓼𝔰𝕤𝖘𝗌𝘀𝘴𝙨𝚜", 's'),
    ("мᴍɱḿṁṃꮇ𝐦𝑚𝒎𝓂𝓶𝔪𝕞𝖒𝗆𝗺𝘮𝙢𝚖ⅿ", 'm'),
    ("еєёèéêëēėęě℮ҽ", 'e'),
    ("хχ×ҳⅹ", 'x'),
    ("․‧。．", '.'),
];

/// Characters that take no room, or turn the direction of what follows.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{180e}' | '\u{fe00}'..='\u{fe0f}')
}

/// How `name` resembles `smss.exe`; `None` where it does not, or is it.
pub(super) fn likeness(name: &str) -> Option<Likeness> {
    if name == "smss.exe" {
        return None;
    }
    if name.eq_ignore_ascii_case("smss.exe") {
        return Some(Likeness::Case);
    }
    // A program can be started from an alternate stream of a file: `smss.exe:x`, `notes.txt:smss.exe`.
    if let Some((file, stream)) = name.split_once(':')
        && [file, stream].iter().any(|part| {
            *part == "smss.exe" || likeness(part).is_some_and(|like| like != Likeness::Near(NAME.to_owned()))
        })
    {
        return Some(Likeness::Disguised("an alternate stream of a file"));
    }
    let name = unescaped(name);
    let visible: String = name.chars().filter(|c| !is_invisible(*c)).collect();
    if let Some((before, after)) = name.split_once('\u{202e}') {
        // Shown from right to left from there on.
        let shown: String = before.chars().chain(after.chars().rev()).filter(|c| !is_invisible(*c)).collect();
        // Nothing honest turns it within a program's name: that the name is in there is enough.
        if [shown, visible.clone()].iter().any(|text| is_close(stem(&fold(text)).0) || fold(text).contains(NAME)) {
            return Some(Likeness::Disguised("text direction turned"));
        }
    }
    let folded = fold(&visible);
    let (core, form) = stem(&folded);
    if core == NAME {
        let means = match form {
            Form::Plain if visible.len() != name.len() => "invisible characters",
            Form::Plain if !visible.is_ascii() => "letters of another alphabet",
            Form::Plain => return None,
            Form::Means(means) => means,
            // `smss` alone: tools print names without their extension, and so can an impostor be named.
            Form::Bare => return Some(Likeness::Near(core.to_owned())),
        };
        return Some(Likeness::Disguised(means));
    }
    if matches!(form, Form::Bare) {
        return None;
    }
    if LISTED.contains(&core) {
        return Some(Likeness::Disguised("a number appended"));
    }
    let spelt = core.replace("rn", "m").replace(['5', '$'], "s");
    if spelt == NAME {
        return Some(Likeness::Disguised("signs that look like the letters"));
    }
    if !is_close(core) {
        return None;
    }
    Some(if name.is_ascii() {
        Likeness::Near(core.to_owned())
    } else {
        Likeness::Disguised("letters of another alphabet")
    })
}

fn is_close(stem: &str) -> bool {
    stem == NAME || (stem.chars().count() <= LONGEST_STEM && distance(stem, NAME) <= 1)
}

/// Bytes of `ImageFileName` that are no text come as `\xNN`: each stands for one letter that nobody can tell.
fn unescaped(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            Some(_) => {
                text.push('\u{fffd}');
                text.push_str(part.get(2..).unwrap_or_default());
            }
            None => {
                text.push_str("\\x");
                text.push_str(part);
            }
        }
    }
    text
}

/// Lower case, full-width and confusable letters as the ASCII letters they look like.
fn fold(name: &str) -> String {
    let fold = |c: char| -> char {
        let c = match u32::from(c) {
            wide @ 0xff01..=0xff5e => char::from_u32(wide.saturating_sub(0xfee0)).unwrap_or(c),
            _ => c,
        };
        let known = |c: char| CONFUSABLES.iter().find(|(like, _)| like.contains(c)).map(|(_, letter)| *letter);
        let mut lower = c.to_lowercase();
        let lower = lower.next().filter(|_| lower.len() == 0).unwrap_or(c);
        known(c).or_else(|| known(lower)).unwrap_or(lower)
    };
    name.chars().map(fold).collect()
}

enum Form {
    Plain,
    /// No extension at all.
    Bare,
    Means(&'static str),
}

/// The name without its extension, and what is odd about the form.
fn stem(name: &str) -> (&str, Form) {
    let trimmed = name.trim_end_matches([' ', '.']);
    let trailing = trimmed.len() != name.len();
    let Some((mut core, extension)) = trimmed.rsplit_once('.') else {
        return (trimmed, if trailing { Form::Means("a space or dot at the end") } else { Form::Bare });
    };
    let mut form = if trailing { Form::Means("a space or dot at the end") } else { Form::Plain };
    if EXECUTABLE.contains(&extension) {
        form = Form::Means("another executable extension");
    } else if extension != "exe" {
        return (trimmed, Form::Bare);
    }
    if let Some(inner) = core.strip_suffix(".exe") {
        core = inner;
        form = Form::Means("a doubled extension");
    }
    let bare = core.trim_end_matches([' ', '.']);
    if bare.len() != core.len() {
        form = Form::Means("a space or dot before the extension");
    }
    (bare, form)
}

/// Letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
pub(in crate::checks) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // The last two rows of the table.
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i.saturating_add(1)];
        for (j, other) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX);
            let one = |cost: usize| cost.saturating_add(1);
            let mut best = at(&above, j).saturating_add(usize::from(letter != other));
            best = best.min(one(at(&above, j.saturating_add(1)))).min(one(at(&row, j)));
            if let (Some(i1), Some(j1)) = (i.checked_sub(1), j.checked_sub(1))
                && a.get(i1) == Some(other)
                && b.get(j1) == Some(letter)
            {
                best = best.min(one(at(&before, j1)));
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (other, expected) in
            [("smss", 0), ("ssms", 1), ("smsss", 1), ("mss", 1), ("csrss", 2), ("lsass", 2), ("", 4), ("smss32", 2)]
        {
            assert_eq!(distance(other, "smss"), expected, "{other}");
            assert_eq!(distance("smss", other), expected, "{other}");
        }
    }

    #[test]
    fn disguises() {
        for name in [
            "smss.exe.exe",
            "smss .exe",
            "smss.exe ",
            "smss.exe.",
            "SMSS.EXE.EXE",
            "smss32.exe",
            "\u{455}mss.exe",
            "\u{ff53}\u{ff4d}ss.exe",
            "sm\u{200b}ss.exe",
            "s\u{202e}exe.ssm",
            "smss\u{202e}fdp.exe",
            "srnss.exe",
            "5m55.exe",
            "smss.scr",
            "\\xd1mss.exe",
            "smss\u{2024}exe.exe",
            "smss.exe:evil",
            "SMSS.EXE:x.exe",
            "x.txt:smss.exe",
        ] {
            assert!(matches!(likeness(name), Some(Likeness::Disguised(_))), "{name:?}: {:?}", likeness(name));
        }
        for name in ["smsss.exe", "ssms.exe", "Ssms.exe", "smms.exe", "5mss.exe", "sms.exe", "smss"] {
            let like = likeness(name);
            assert!(like.is_some() && like != Some(Likeness::Case), "{name}: {like:?}");
        }
        assert_eq!(likeness("SMSS.EXE"), Some(Likeness::Case));
    }

    #[test]
    fn other_names() {
        for name in [
            "smss.exe",
            "csrss.exe",
            "lsass.exe",
            "lsm.exe",
            "sms",
            "smss.dll",
            "System",
            "SMSvcHost.exe",
            "smsvc.exe",
            "日本.exe",
            "msaccess.exe",
            "sppsvc.exe",
            "",
            "\\xff\\xfe",
            "Ünïcode.exe",
            "mstsc.exe",
            "amsss12.exe",
            "a:b",
            "file:smss",
        ] {
            assert_eq!(likeness(name), None, "{name:?}");
        }
    }
}

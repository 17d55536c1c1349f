//! The command line of csrss.exe, as `SubSystems\Windows` has it and as the process shows it.

use crate::checks::words::{same, words};

/// Windows' own line has eleven words. A hostile value can have millions.
const MAX_WORDS: usize = 1024;

/// A program and its parameters, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WindowsLine<'t> {
    pub(super) program: &'t str,
    /// Name and value; a word without `=` has no value.
    pub(super) parameters: Vec<(&'t str, Option<&'t str>)>,
}

/// `ServerDll=module:entry,index`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server<'t> {
    /// As it is written.
    pub(super) text: &'t str,
    pub(super) module: &'t str,
    pub(super) entry: Option<&'t str>,
    /// `None`: missing, or no number.
    pub(super) index: Option<u32>,
}

impl<'t> WindowsLine<'t> {
    /// `None`: there is nothing in it.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let mut words = words(text);
        let program = words.next()?;
        let parameters = words
            .take(MAX_WORDS)
            .map(|word| word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value))))
            .collect();
        Some(Self { program, parameters })
    }

    /// The values of all parameters of this name.
    pub(super) fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'t str> + 's {
        self.parameters.iter().filter(move |(found, _)| same(found, name)).map(|(_, value)| value.unwrap_or_default())
    }

    pub(super) fn servers(&self) -> Vec<Server<'t>> {
        self.values("ServerDll").map(Server::read).collect()
    }
}

impl<'t> Server<'t> {
    fn read(text: &'t str) -> Self {
        let (head, index) = text.split_once(',').map_or((text, None), |(head, index)| (head, Some(index)));
        // A path has a colon too, behind its drive.
        let (module, entry) = match head.rsplit_once(':') {
            Some((module, entry)) if !entry.contains('\\') => (module, Some(entry)),
            _ => (head, None),
        };
        Self { text, module, entry, index: index.and_then(|index| index.parse().ok()) }
    }
}

/// Whether the sizes of the shared heaps are two or three numbers. Their values are tuned by administrators.
pub(super) fn is_shared_section(text: &str, fields: std::ops::RangeInclusive<usize>) -> bool {
    // csrss.exe reads numbers from the left: a last comma changes nothing.
    let parts: Vec<&str> = text.strip_suffix(',').unwrap_or(text).split(',').collect();
    let is_number =
        |part: &&str| !part.is_empty() && part.len() <= 10 && part.bytes().all(|digit| digit.is_ascii_digit());
    fields.contains(&parts.len()) && parts.iter().all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_parts() {
        let line = WindowsLine::read("  a.exe ObjectDirectory=\\Windows x serverdll=winsrv:Con,2 ServerDll=basesrv,1 ")
            .unwrap();
        assert_eq!(line.program, "a.exe");
        assert_eq!(line.values("objectdirectory").collect::<Vec<_>>(), ["\\Windows"]);
        assert_eq!(line.parameters[1], ("x", None));
        let servers = line.servers();
        assert_eq!((servers[0].module, servers[0].entry, servers[0].index), ("winsrv", Some("Con"), Some(2)));
        assert_eq!((servers[1].module, servers[1].entry, servers[1].index), ("basesrv", None, Some(1)));
        assert_eq!(WindowsLine::read(" \t"), None);
        for (text, module, entry, index) in [
            ("c:\\x,5", "c:\\x", None, Some(5)),
            ("c:\\x:Init,5", "c:\\x", Some("Init"), Some(5)),
            ("evil", "evil", None, None),
            ("evil,x", "evil", None, None),
        ] {
            assert_eq!(Server::read(text), Server { text, module, entry, index });
        }
    }

    #[test]
    fn shared_sections() {
        for good in ["1024,20480,768", "1024,20480,768,", "1024,20480,1536", "1024,3072,512"] {
            assert!(is_shared_section(good, 3..=3), "{good}");
        }
        for bad in
            ["", "1024", "1024,20480", "1024,,768", "1024,20480,x", "1024,20480,-1", "1,2,3,4", "1024,20480,768,,"]
        {
            assert!(!is_shared_section(bad, 3..=3), "{bad}");
        }
        assert!(is_shared_section("1024,3072", 2..=3));
    }
}

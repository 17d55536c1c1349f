//! Reading values of keys, and noting what could not be read.

use super::{Answer, MAX_LOOKED_AT, MAX_VALUE, evidence, missing, shortened};
use crate::checks::Missing;
use crate::checks::session_manager::keys::HiveKey;
use crate::checks::words::trim;
use crate::registry::{KeyRecord, RegistryData, RegistryValue};
use crate::{Absent, Reading};

/// A list of programs.
pub(in crate::checks::session_manager) struct Programs<'a> {
    /// Those that smss.exe runs.
    pub(in crate::checks::session_manager) run: Vec<&'a str>,
    /// Those behind the end of the list.
    pub(in crate::checks::session_manager) behind_end: Vec<&'a str>,
}

impl<'a> Answer<'_, 'a> {
    /// The data of a value. `Some(None)`: there is no such value. `None`: not known, which is noted.
    pub(in crate::checks::session_manager) fn data(
        &mut self,
        key: HiveKey<'a>,
        name: &str,
    ) -> Option<Option<&'a RegistryData>> {
        let record = self.record(key)?;
        let Some(record) = record else { return Some(None) };
        match record.value(name) {
            Reading::Nothing => Some(None),
            Reading::Absent(absent) => {
                self.not_known(missing(key.label(name), &absent));
                None
            }
            Reading::Value(value) => {
                self.looked_at(key, record, name, value);
                match value.data.known() {
                    Ok(Some(data)) => Some(Some(data)),
                    Ok(None) => Some(None),
                    Err(absent) => {
                        self.not_known(missing(key.label(name), absent));
                        None
                    }
                }
            }
        }
    }

    /// The text of a value, without blanks around it.
    pub(in crate::checks::session_manager) fn text(&mut self, key: HiveKey<'a>, name: &str) -> Option<Option<&'a str>> {
        match self.data(key, name)? {
            None => Some(None),
            Some(RegistryData::Text(text)) => Some(Some(trim(text))),
            // One text in the form of a list.
            Some(RegistryData::Texts(texts)) if texts.len() <= 1 => {
                Some(Some(texts.first().map_or("", |text| trim(text))))
            }
            Some(other) => self.unfit(key, name, other, "a text"),
        }
    }

    /// The texts of a value that are not blank.
    pub(in crate::checks::session_manager) fn list(
        &mut self,
        key: HiveKey<'a>,
        name: &str,
    ) -> Option<Option<Vec<&'a str>>> {
        let trimmed = |text: &'a str| Some(trim(text)).filter(|text| !text.is_empty());
        match self.data(key, name)? {
            None => Some(None),
            Some(RegistryData::Text(text)) => Some(Some(trimmed(text).into_iter().collect())),
            Some(RegistryData::Texts(texts)) => {
                if texts.len() > MAX_LOOKED_AT {
                    self.not_known(Missing::new(
                        key.label(name),
                        format!("too long: {} texts, and so many are not judged", texts.len()),
                    ));
                }
                Some(Some(texts.iter().take(MAX_LOOKED_AT).filter_map(|text| trimmed(text)).collect()))
            }
            Some(other) if other.is_empty() => Some(Some(Vec::new())),
            Some(other) => self.unfit(key, name, other, "a list of texts"),
        }
    }

    /// The texts of a value that are not blank, as they are.
    pub(in crate::checks::session_manager) fn names(
        &mut self,
        key: HiveKey<'a>,
        name: &str,
    ) -> Option<Option<Vec<&'a str>>> {
        let trimmed = self.list(key, name)?;
        let texts = key.read.value().map(|record| record.value(name));
        let texts = texts.as_ref().and_then(|value| value.value()?.data.value()?.as_texts());
        Some(match texts {
            Some(texts) => {
                let whole = texts.iter().take(MAX_LOOKED_AT).map(String::as_str);
                Some(whole.filter(|text| !trim(text).is_empty()).collect())
            }
            None => trimmed,
        })
    }

    /// The lines of a list of programs, as smss.exe reads it: up to the first empty text.
    pub(in crate::checks::session_manager) fn programs(
        &mut self,
        key: HiveKey<'a>,
        name: &str,
    ) -> Option<Programs<'a>> {
        let data = self.data(key, name)?;
        let Some(RegistryData::Texts(texts)) = data else {
            let run = self.list(key, name)?.unwrap_or_default();
            return Some(Programs { run, behind_end: Vec::new() });
        };
        if texts.len() > MAX_LOOKED_AT {
            let why = format!("too long: {} texts, and so many are not judged", texts.len());
            self.not_known(Missing::new(key.label(name), why));
        }
        let end = texts.iter().position(String::is_empty).unwrap_or(texts.len());
        let (run, behind) = texts.split_at_checked(end).unwrap_or((texts, &[]));
        let lines = |texts: &'a [String]| {
            let lines = texts.iter().take(MAX_LOOKED_AT).map(|text| trim(text));
            lines.filter(|line| !line.is_empty()).collect()
        };
        Some(Programs { run: lines(run), behind_end: lines(behind) })
    }

    /// The number of a value.
    pub(in crate::checks::session_manager) fn number(&mut self, key: HiveKey<'a>, name: &str) -> Option<Option<u64>> {
        match self.data(key, name)? {
            None => Some(None),
            Some(data) => match data.as_number() {
                Some(number) => Some(Some(number)),
                None => self.unfit(key, name, data, "a number"),
            },
        }
    }

    fn unfit<T>(&mut self, key: HiveKey<'_>, name: &str, data: &RegistryData, wanted: &str) -> Option<T> {
        let shown = shortened(&data.to_string(), 60);
        let why = Absent::unparsable(format!("{shown} is not {wanted}"));
        self.not_known(Missing::new(key.label(name), why));
        None
    }

    /// Every value of a key whose name could be read, looked at. `None`: not known.
    pub(in crate::checks::session_manager) fn all(
        &mut self,
        key: HiveKey<'a>,
    ) -> Option<Vec<(&'a str, &'a RegistryValue)>> {
        let Some(record) = self.record(key)? else { return Some(Vec::new()) };
        let values = match record.values.known() {
            Ok(values) => values,
            Err(absent) => {
                self.not_known(missing(format!("the list of values of {}", key.name), absent));
                return None;
            }
        };
        if let Some(absent) = record.values_missing.first() {
            self.not_known(missing(format!("every value of {}", key.name), absent));
        }
        let values: Vec<_> = values.into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
        for (name, value) in &values {
            self.looked_at(key, record, name, value);
        }
        Some(values)
    }

    /// Names and data, as text, of every value of a key that could be read; what could not is noted.
    pub(in crate::checks::session_manager) fn values(&mut self, key: HiveKey<'a>) -> Vec<(&'a str, String)> {
        let mut values = Vec::new();
        for (name, value) in self.all(key).unwrap_or_default() {
            match value.data.known() {
                Ok(data) => values.push((name, data.map_or_else(String::new, ToString::to_string))),
                Err(absent) => self.not_known(missing(key.label(name), absent)),
            }
        }
        values
    }

    /// `Some(None)`: there is no such key.
    pub(in crate::checks::session_manager) fn record(&mut self, key: HiveKey<'a>) -> Option<Option<&'a KeyRecord>> {
        match key.read.known() {
            Ok(record) => Some(record),
            Err(absent) => {
                self.not_known(missing(format!("the key {}", key.name), absent));
                None
            }
        }
    }

    /// A value that the finding about another one rests on.
    pub(in crate::checks::session_manager) fn related(&mut self, key: HiveKey<'a>, name: &str) {
        let _ = self.data(key, name);
        self.related.insert(key.label(name));
    }

    /// Makes a value part of the evidence.
    pub(in crate::checks::session_manager) fn looked_at(
        &mut self,
        key: HiveKey<'_>,
        record: &KeyRecord,
        name: &str,
        value: &RegistryValue,
    ) {
        if self.evidence.len() > MAX_LOOKED_AT {
            return;
        }
        self.evidence.entry(key.label(name)).or_insert_with_key(|label| {
            let text = value.data.value().map(|data| shortened(&data.to_string(), MAX_VALUE));
            evidence(record, value.location.as_ref(), "_CM_KEY_VALUE", label, text)
        });
    }
}

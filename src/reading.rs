//! A value, nothing, or the reason why a value is not known.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use serde::de::Error as _;
use std::fmt;

/// What is said of memory that the image should have.
pub(crate) const NOT_IN_IMAGE: &str = "is not in the image";

/// Why a value is not there although it may exist: never the same as a value of zero, or as "there is none".
///
/// In documents it is one string, `kind: detail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// What kept the value from being read.
    pub kind: AbsentKind,
    /// The particulars, for a person: the address and fault, the name that symbols lack, the malformed bytes.
    pub detail: String,
}

/// The kinds of [`Absent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AbsentKind {
    /// The memory that holds it could not be read (paged out, not in the image).
    Unreadable,
    /// It was read and makes no sense as what it should be.
    Unparsable,
    /// The symbols in use do not describe it.
    NoSymbol,
    /// This build, or this kind of object, has no such thing.
    NotApplicable,
    /// Nobody looked: the source of this record does not carry it.
    NotCollected,
}

impl AbsentKind {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Unreadable, "unreadable"),
        (Self::Unparsable, "unparsable"),
        (Self::NoSymbol, "no symbol"),
        (Self::NotApplicable, "not applicable"),
        (Self::NotCollected, "not collected"),
    ];

    /// The word that documents use.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("unreadable", |(_, name)| name)
    }
}

impl Absent {
    /// An absence of this kind.
    pub fn new(kind: AbsentKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What would let the value be read, where the detail says so: a page file, a file of the machine's disk. Details name it in
    /// the form `[needs THIS]`, which documents keep.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        let (_, from) = self.detail.rsplit_once("[needs ")?;
        from.split_once(']').map(|(what, _)| what)
    }

    /// The memory could not be read.
    pub fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(AbsentKind::Unreadable, detail)
    }

    /// What was read makes no sense.
    pub fn unparsable(detail: impl Into<String>) -> Self {
        Self::new(AbsentKind::Unparsable, detail)
    }

    /// The symbols lack `name` (`_EPROCESS.Protection`).
    pub fn no_symbol(name: impl Into<String>) -> Self {
        Self::new(AbsentKind::NoSymbol, name)
    }

    /// There is no such thing here.
    pub fn not_applicable(detail: impl Into<String>) -> Self {
        Self::new(AbsentKind::NotApplicable, detail)
    }

    /// The source of the record does not carry it.
    pub fn not_collected(detail: impl Into<String>) -> Self {
        Self::new(AbsentKind::NotCollected, detail)
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            f.write_str(self.kind.name())
        } else {
            write!(f, "{}: {}", self.kind.name(), self.detail)
        }
    }
}

impl std::error::Error for Absent {}

impl Serialize for Absent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Absent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from).map_err(D::Error::custom)?;
        for (kind, name) in AbsentKind::NAMES {
            if let Some(rest) = text.strip_prefix(name) {
                if rest.is_empty() {
                    return Ok(Self::new(kind, ""));
                }
                if let Some(detail) = rest.strip_prefix(": ") {
                    return Ok(Self::new(kind, detail));
                }
            }
        }
        // Another tool's words: kept, as a value nobody could read.
        Ok(Self::unreadable(text))
    }
}

/// What looking for a value gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<T> {
    /// The value.
    Value(T),
    /// It was looked for, and there is none: a process that has not exited has no exit time.
    Nothing,
    /// It is not known, and why.
    Absent(Absent),
}

impl<T> Reading<T> {
    /// The value, if there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Nothing | Self::Absent(_) => None,
        }
    }

    /// Why the value is unknown, if it is.
    pub const fn absent(&self) -> Option<&Absent> {
        match self {
            Self::Absent(absent) => Some(absent),
            Self::Value(_) | Self::Nothing => None,
        }
    }

    /// True where it is known that there is none.
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// `Ok(Some)` for a value, `Ok(None)` for nothing, `Err` for an unknown.
    ///
    /// # Errors
    /// The reason why the value is not known.
    pub const fn known(&self) -> Result<Option<&T>, &Absent> {
        match self {
            Self::Value(value) => Ok(Some(value)),
            Self::Nothing => Ok(None),
            Self::Absent(absent) => Err(absent),
        }
    }

    /// Applies `f` to the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Value(value) => Reading::Value(f(value)),
            Self::Nothing => Reading::Nothing,
            Self::Absent(absent) => Reading::Absent(absent),
        }
    }

    /// This reading if it has a value, else `other`'s if that has one, else this one.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Value(_), _) => self,
            (_, Self::Value(_)) => other,
            _ => self,
        }
    }
}

impl<T> From<Result<T, Absent>> for Reading<T> {
    fn from(result: Result<T, Absent>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(absent) => Self::Absent(absent),
        }
    }
}

impl<T> From<Result<Option<T>, Absent>> for Reading<T> {
    fn from(result: Result<Option<T>, Absent>) -> Self {
        match result {
            Ok(Some(value)) => Self::Value(value),
            Ok(None) => Self::Nothing,
            Err(absent) => Self::Absent(absent),
        }
    }
}

/// Not collected: what a record holds until somebody looks.
impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self::Absent(Absent::not_collected(""))
    }
}

/// Declares a record: a struct whose fields are [`Reading`]s (and, after a semicolon, others), with the form that documents
/// use: the value or `null` under the field's name, and one more member, `absent`, that gives the reason of every unknown.
///
/// A `null` without a reason is "there is none"; a member that is missing altogether was not collected; a member with an
/// unknown name is passed over.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$field_doc:meta])* $field:ident : $type:ty,)*
        $(; $($(#[$plain_doc:meta])* $plain:ident : $plain_type:ty,)*)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $crate::Reading<$type>,)*
            $($($(#[$plain_doc])* pub $plain: $plain_type,)*)?
        }

        impl $name {
            /// Calls `f` with each field's name and, where the field is unknown, the reason.
            pub fn each_absent<'a>(&'a self, mut f: impl FnMut(&'static str, &'a $crate::Absent)) {
                $(if let Some(absent) = self.$field.absent() { f(stringify!($field), absent); })*
            }

            /// Takes from `other` what is unknown here and has a value there.
            pub fn fill_from(&mut self, other: Self) {
                $(self.$field = std::mem::take(&mut self.$field).or(other.$field);)*
                $($(if self.$plain == <$plain_type>::default() { self.$plain = other.$plain; })*)?
            }

            /// Turns every "there is none" into an unknown of the given reason, but for the fields in `except`.
            pub fn distrust_nothing(&mut self, reason: &$crate::Absent, except: &[&str]) {
                $(if self.$field.is_nothing() && !except.contains(&stringify!($field)) {
                    self.$field = $crate::Reading::Absent(reason.clone());
                })*
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = to.serialize_map(None)?;
                $(map.serialize_entry(stringify!($field), &self.$field.value())?;)*
                $($(map.serialize_entry(stringify!($plain), &self.$plain)?;)*)?
                let mut absent = std::collections::BTreeMap::new();
                self.each_absent(|name, reason| { absent.insert(name, reason); });
                map.serialize_entry("absent", &absent)?;
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("an object with the members of ", stringify!($name)))
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut record = $name::default();
                        let mut reasons = std::collections::BTreeMap::<String, $crate::Absent>::new();
                        while let Some(key) = map.next_key::<String>()? {
                            match key.as_str() {
                                $(stringify!($field) => {
                                    record.$field = match map.next_value::<Option<$type>>()? {
                                        Some(value) => $crate::Reading::Value(value),
                                        None => $crate::Reading::Nothing,
                                    };
                                })*
                                $($(stringify!($plain) => {
                                    record.$plain = map.next_value::<Option<$plain_type>>()?.unwrap_or_default();
                                })*)?
                                "absent" => {
                                    reasons = map.next_value::<Option<_>>()?.unwrap_or_default();
                                }
                                _ => { map.next_value::<serde::de::IgnoredAny>()?; }
                            }
                        }
                        $(if record.$field.value().is_none() && let Some(reason) = reasons.remove(stringify!($field)) {
                            record.$field = $crate::Reading::Absent(reason);
                        })*
                        Ok(record)
                    }
                }
                from.deserialize_map(Visitor)
            }
        }
    };
}
pub(crate) use record;

/// Reads `null` as the default, so that any object of a document may be null.
pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// Reads a list, itself perhaps null, without those of its members that are.
pub(crate) fn without_nulls<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Option::<Vec<Option<T>>>::deserialize(from).map(|items| items.into_iter().flatten().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    record! {
        /// A sample.
        pub struct Sample {
            /// A number.
            pid: u64,
            /// A text.
            path: String,
            ;
            /// Views.
            sources: Vec<String>,
        }
    }

    #[test]
    fn three_states_survive_a_document() {
        for path in [
            Reading::Value("x".to_owned()),
            Reading::Nothing,
            Reading::Absent(Absent::unreadable("0x1000: not present")),
        ] {
            let record = Sample { pid: Reading::Value(4), path, sources: vec![] };
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), record, "{text}");
        }
    }

    #[test]
    fn unknowns_are_filled_and_values_kept() {
        let mut first = Sample { pid: Reading::Value(4), ..Sample::default() };
        let path = Reading::Value("x".to_owned());
        first.fill_from(Sample { pid: Reading::Value(5), path: path.clone(), sources: vec!["a".into()] });
        assert_eq!(first, Sample { pid: Reading::Value(4), path, sources: vec!["a".into()] });
    }

    #[test]
    fn missing_is_not_collected_and_null_is_nothing() {
        let record: Sample = serde_json::from_str(r#"{"pid": null, "other": [1, {"a": 2}], "absent": null}"#).unwrap();
        assert!(record.pid.is_nothing());
        let mut distrusted = record.clone();
        distrusted.distrust_nothing(&Absent::not_collected("not printed"), &[]);
        assert!(distrusted.pid.absent().is_some());
        assert_eq!(record.path.absent().map(|a| a.kind), Some(AbsentKind::NotCollected));
    }
}

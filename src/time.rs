//! Windows time stamps.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use serde::de::Error as _;
use std::fmt;

/// A FILETIME: 100 ns ticks since 1601-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// Ticks between 1601-01-01 and 1970-01-01.
const UNIX_EPOCH: i128 = 116_444_736_000_000_000;
/// Ticks in a second.
const SECOND: i64 = 10_000_000;

impl Timestamp {
    /// 9999-12-30T00:00:00Z: nothing much later has a form in RFC 3339, whose years have four digits.
    pub const MAX: Self = Self(2_650_466_016_000_000_000);

    /// The stamp, if it can be written as a date (1601 to 9999).
    #[must_use]
    pub const fn plausible(ticks: u64) -> Option<Self> {
        if ticks <= Self::MAX.0 { Some(Self(ticks)) } else { None }
    }

    /// Ticks from `earlier` to this stamp; negative where this one is the earlier. Saturates.
    #[must_use]
    pub fn since(self, earlier: Self) -> Ticks {
        let difference = i128::from(self.0).saturating_sub(i128::from(earlier.0));
        Ticks(i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX }))
    }

    /// A time of this computer's clock; one that no stamp can have is the nearest that one can.
    #[must_use]
    pub fn of_system(at: std::time::SystemTime) -> Self {
        let since = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let ticks = i128::try_from(since.as_nanos() / 100).unwrap_or(i128::MAX).saturating_add(UNIX_EPOCH);
        u64::try_from(ticks).ok().and_then(Self::plausible).unwrap_or(Self::MAX)
    }

    /// Reads an RFC 3339 time.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        let ticks = at.as_nanosecond().div_euclid(100).checked_add(UNIX_EPOCH)?;
        u64::try_from(ticks).ok().and_then(Self::plausible)
    }
}

/// A span of time in units of 100 ns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub i64);

impl Ticks {
    /// A span of whole seconds.
    #[must_use]
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// The span's length, without its direction.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }
}

/// Seconds with three decimals: `+0.042 s`, `-3581.000 s`.
impl fmt::Display for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.unsigned_abs() / 10_000;
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{}.{:03} s", milliseconds / 1000, milliseconds % 1000)
    }
}

impl fmt::Debug for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// RFC 3339 in UTC with all seven digits: `2026-03-14T08:00:02.1234567Z`. A value that is no date prints as ticks.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unix = i128::from(self.0).saturating_sub(UNIX_EPOCH).saturating_mul(100);
        match jiff::Timestamp::from_nanosecond(unix) {
            Ok(at) if *self <= Self::MAX => write!(f, "{at:.7}"),
            _ => write!(f, "{} ticks since 1601", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no RFC 3339 time from 1601 to 9999")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_and_back() {
        // [MS-DTYP] 2.3.3: FILETIME; 116444736000000000 is the Unix epoch.
        assert_eq!(Timestamp(116_444_736_000_000_000).to_string(), "1970-01-01T00:00:00.0000000Z");
        assert_eq!(Timestamp(0).to_string(), "1601-01-01T00:00:00.0000000Z");
        let text = "2026-03-14T08:00:02.1234567Z";
        assert_eq!(Timestamp::parse(text).map(|t| t.to_string()).as_deref(), Some(text));
        assert_eq!(Timestamp::parse("1600-01-01T00:00:00Z"), None);
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T00:00:00.0000000Z");
        assert_eq!(Timestamp::plausible(u64::MAX), None);
        assert_eq!(Timestamp(u64::MAX).to_string(), "18446744073709551615 ticks since 1601");
    }

    #[test]
    fn distances() {
        assert_eq!(Timestamp(5).since(Timestamp(20_000_005)), Ticks::seconds(-2));
        assert_eq!(Ticks(420_000).to_string(), "+0.042 s");
        assert_eq!(Ticks::seconds(-3581).to_string(), "-3581.000 s");
    }
}

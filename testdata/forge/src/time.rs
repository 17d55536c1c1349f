//! Windows time stamps.

use std::fmt;

/// 100 ns ticks since 1601-01-01 UTC, as `FILETIME` and `LARGE_INTEGER` times count (Windows SDK, `FILETIME`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

/// Days from 1601-01-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 134_774;
const TICKS: u64 = 10_000_000;

impl Time {
    /// Reads `YYYY-MM-DDTHH:MM:SS[.fffffff]Z`.
    ///
    /// # Panics
    /// When the text has another form.
    #[must_use]
    pub fn at(text: &str) -> Self {
        let body = text.strip_suffix('Z').expect("UTC");
        let (date, clock) = body.split_once('T').expect("a date and a time");
        let part = |s: &str| s.parse::<i64>().expect("a number");
        let d: Vec<i64> = date.split('-').map(part).collect();
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let c: Vec<i64> = clock.split(':').map(part).collect();
        let days = days_from_civil(d[0], d[1], d[2]) + EPOCH_DAYS;
        let seconds = days * 86_400 + c[0] * 3600 + c[1] * 60 + c[2];
        let ticks: u64 = format!("{fraction:0<7}")[..7].parse().expect("a fraction");
        Self(seconds as u64 * TICKS + ticks)
    }

    /// This time and so many milliseconds (negative: before).
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.wrapping_add_signed(ms * 10_000))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ticks) = (self.0 / TICKS, self.0 % TICKS);
        let (days, rest) = ((seconds / 86_400) as i64, seconds % 86_400);
        let (y, m, d) = civil_from_days(days - EPOCH_DAYS);
        write!(f, "{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}.{ticks:07}Z", rest / 3600, rest / 60 % 60, rest % 60)
    }
}

/// Days since 1970-01-01 of a Gregorian date.
fn days_from_civil(y: i64, m: i64, d: i64) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(m <= 2), m, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn known_stamps() {
        // 116444736000000000 is the Unix epoch as FILETIME (Microsoft Learn, "Converting a time_t value to a FILETIME").
        assert_eq!(Time::at("1970-01-01T00:00:00Z").0, 116_444_736_000_000_000);
        for text in ["2026-03-14T15:09:26.0000001Z", "2024-02-29T23:59:59.1234567Z", "1601-01-01T00:00:00.0000000Z"] {
            assert_eq!(Time::at(text).to_string(), text);
        }
    }
}

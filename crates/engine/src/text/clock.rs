//! The date that chat templates print.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A day of the Gregorian calendar; as text `2026-11-27`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// The day on which a moment lies, in seconds since 1970-01-01 of the same time zone.
    pub fn of_seconds(seconds: i64) -> Self {
        Date::of_days(seconds.div_euclid(86_400))
    }

    /// From days since 1970-01-01 (Howard Hinnant, `civil_from_days`).
    fn of_days(days: i64) -> Self {
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Date { year, month, day: day_of_year - (153 * march_month + 2) / 5 + 1 }
    }

    /// Days since 1970-01-01 (Howard Hinnant, `days_from_civil`).
    fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let march_month = (self.month + 9) % 12;
        let day_of_year = (153 * march_month + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// From 0, Sunday.
    fn weekday(self) -> i64 {
        (self.days() + 4).rem_euclid(7)
    }

    /// From 0, 1 January.
    fn day_of_year(self) -> i64 {
        self.days() - Date { month: 1, day: 1, ..self }.days()
    }

    /// Year and week of ISO 8601.
    fn iso_week(self) -> (i64, i64) {
        let thursday = Date::of_days(self.days() - (self.weekday() + 6) % 7 + 3);
        (thursday.year, thursday.day_of_year() / 7 + 1)
    }

    /// The start of this day as C's strftime formats it in English, with the flags of glibc, like Python's
    /// `datetime.strftime`; or the directive that has no meaning here.
    pub(super) fn strftime(self, format: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut next = chars.next();
            let flag = next.filter(|flag| "-_0^".contains(*flag));
            if flag.is_some() {
                next = chars.next();
            }
            let directive: String = ['%'].into_iter().chain(flag).chain(next).collect();
            let number = |value: i64, width: usize, fill: char| match (flag, fill) {
                (Some('-'), _) => value.to_string(),
                (Some('_'), _) | (None | Some('^'), ' ') => format!("{value:width$}"),
                _ => format!("{value:0width$}"),
            };
            let text = |text: &str| match flag {
                Some('^') => text.to_uppercase(),
                _ => text.to_owned(),
            };
            let (weekday, month) = (DAYS[self.weekday() as usize], MONTHS[self.month as usize - 1]);
            out += &match next {
                Some('Y') => self.year.to_string(),
                Some('C') => number(self.year.div_euclid(100), 2, '0'),
                Some('y') => number(self.year.rem_euclid(100), 2, '0'),
                Some('m') => number(self.month, 2, '0'),
                Some('d') => number(self.day, 2, '0'),
                Some('e') => number(self.day, 2, ' '),
                Some('j') => number(self.day_of_year() + 1, 3, '0'),
                Some('B') => text(month),
                Some('b' | 'h') => text(&month[..3]),
                Some('A') => text(weekday),
                Some('a') => text(&weekday[..3]),
                Some('w') => number(self.weekday(), 1, '0'),
                Some('u') => number((self.weekday() + 6) % 7 + 1, 1, '0'),
                Some('U') => number((self.day_of_year() + 7 - self.weekday()) / 7, 2, '0'),
                Some('W') => number((self.day_of_year() + 7 - (self.weekday() + 6) % 7) / 7, 2, '0'),
                Some('G') => self.iso_week().0.to_string(),
                Some('g') => number(self.iso_week().0.rem_euclid(100), 2, '0'),
                Some('V') => number(self.iso_week().1, 2, '0'),
                Some('H' | 'M' | 'S') => number(0, 2, '0'),
                Some('k') => number(0, 2, ' '),
                Some('I') => number(12, 2, '0'),
                Some('l') => number(12, 2, ' '),
                Some('p') => text("AM"),
                Some('P') => text("am"),
                Some('f') if flag.is_none() => "000000".to_owned(),
                Some('z' | 'Z') if flag.is_none() => String::new(),
                Some('F') if flag.is_none() => self.to_string(),
                Some('D' | 'x') if flag.is_none() => self.strftime("%m/%d/%y")?,
                Some('T' | 'X') if flag.is_none() => "00:00:00".to_owned(),
                Some('R') if flag.is_none() => "00:00".to_owned(),
                Some('r') if flag.is_none() => "12:00:00 AM".to_owned(),
                Some('c') if flag.is_none() => self.strftime("%a %b %e 00:00:00 %Y")?,
                Some('n') => "\n".to_owned(),
                Some('t') => "\t".to_owned(),
                Some('%') => "%".to_owned(),
                _ => return Err(format!("strftime_now: {directive} in {format:?} is not supported")),
            };
        }
        Ok(out)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |range: std::ops::Range<usize>| -> Option<i64> {
            let digits = text.get(range)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let date = (|| Some(Date { year: part(0..4)?, month: part(5..7)?, day: part(8..10)? }))();
        // What is no day of the calendar counts as another that is.
        date.filter(|date| date.year > 999 && Date::of_days(date.days()) == *date && date.to_string() == text)
            .ok_or_else(|| format!("{text:?}, expected a day like 2026-11-27"))
    }
}

impl TryFrom<String> for Date {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> String {
        date.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::golden_file;

    #[test]
    fn days_are_the_calendars() {
        for (seconds, date) in [(0, "1970-01-01"), (-1, "1969-12-31"), (1_709_164_800, "2024-02-29")] {
            assert_eq!(Date::of_seconds(seconds).to_string(), date);
            assert_eq!(date.parse(), Ok(Date::of_seconds(seconds)));
        }
        for wrong in
            ["", "2023-02-29", "2026-11-27 ", "2026-13-01", "2026-1-1", "27.11.2026", "2026-11-+7", "0026-11-27"]
        {
            assert_eq!(wrong.parse::<Date>(), Err(format!("{wrong:?}, expected a day like 2026-11-27")));
        }
    }

    #[test]
    fn dates_are_written_as_in_python() {
        let golden: Vec<(String, String, String)> = serde_json::from_slice(&golden_file("dates.json")).unwrap();
        assert!(golden.len() > 100);
        for (date, format, written) in golden {
            let found = date.parse::<Date>().unwrap().strftime(&format);
            assert_eq!(found, Ok(written), "{date} {format}");
        }
    }

    #[test]
    fn unknown_directives_are_refused() {
        let date = Date::of_seconds(0);
        for format in ["%q", "%", "%-", "%s", "%Ey", "%Od", "%:z", "%10d"] {
            let message = date.strftime(format).unwrap_err();
            assert!(message.starts_with("strftime_now: %") && message.ends_with("is not supported"), "{message}");
        }
    }
}

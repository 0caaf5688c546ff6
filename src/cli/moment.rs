//! Moments that users write: the time of a snapshot, and which snapshot is meant by a time.

use super::Result;
use super::exit::Failure;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, ToSpan};
use packhorse::base::Timestamp;

/// Reads `2026-08-21 10:00:00 UTC`. The zone is `UTC`, an offset, or an abbreviation that is used here at that time.
///
/// Kopia takes every other abbreviation for UTC, and so saves a time that was not meant; here it is refused.
pub(crate) fn parse(flag: &str, text: &str) -> Result<Timestamp> {
    let moment = Moment::parse(text).filter(|moment| moment.precision.is_exact() && !moment.zone.is_empty());
    moment.and_then(|moment| moment.begin(&TimeZone::system())).ok_or_else(|| {
        Failure::usage(format!("{flag}: {text:?} is not a time such as 2026-08-21 10:00:00 UTC"))
    })
}

/// Which of the snapshots of a path is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The newest.
    Latest,
    /// The oldest.
    Oldest,
    /// The newest that began before this.
    Before(Timestamp),
}

impl Wanted {
    /// Reads `latest`, `oldest`, `yesterday`, `last-month`, `last-year`, `1y-2m-3d-ago`, or a time, which includes all of
    /// the second, hour, day, month or year that it names.
    ///
    /// Source: kopia `cli/command_restore.go` (`computeMaxTime`).
    pub(crate) fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Self> {
        let today = instant(now).to_zoned(zone.clone()).date();
        let start_of = |date: Date| timestamp(date.at(0, 0, 0, 0), zone);
        let limit = match text {
            "" | "latest" => return Ok(Self::Latest),
            "oldest" => return Ok(Self::Oldest),
            "yesterday" => start_of(today),
            "last-month" => start_of(today.first_of_month()),
            "last-year" => start_of(today.first_of_year()),
            _ => match text.strip_suffix("-ago") {
                Some(ago) => parse_ago(ago, today).and_then(start_of),
                None => Moment::parse(text).and_then(|moment| moment.end(zone)),
            },
        };
        limit
            .map(Self::Before)
            .ok_or_else(|| Failure::usage(format!("--snapshot-time: {text:?} names no time")))
    }

    /// The position of the wanted one among starting times that are sorted from new to old.
    pub(crate) fn choose(self, newest_first: &[Timestamp]) -> Option<usize> {
        match self {
            Self::Latest => (!newest_first.is_empty()).then_some(0),
            Self::Oldest => newest_first.len().checked_sub(1),
            Self::Before(limit) => newest_first.iter().position(|start| *start < limit),
        }
    }
}

/// Years, months and days in this order, each at most once; the day after the one that far back.
fn parse_ago(text: &str, today: Date) -> Option<Date> {
    const UNITS: [&[&str]; 3] =
        [&["y", "year", "years"], &["m", "mo", "month", "months"], &["d", "day", "days"]];
    let (mut amounts, mut next) = ([0_i64; 3], 0);
    for part in text.split('-') {
        let digits = part.find(|c: char| !c.is_ascii_digit()).filter(|digits| (1..=3).contains(digits))?;
        let (number, unit) = part.split_at(digits);
        let at = (next..UNITS.len()).find(|at| UNITS[*at].contains(&unit))?;
        amounts[at] = number.parse().ok()?;
        next = at + 1;
    }
    let [years, months, days] = amounts;
    today.checked_sub(years.years().months(months)).ok()?.checked_sub((days - 1).days()).ok()
}

/// The last part of a moment that is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
}

impl Precision {
    fn is_exact(self) -> bool {
        matches!(self, Self::Second | Self::Millisecond)
    }

    fn length(self) -> Span {
        match self {
            Self::Year => 1.year(),
            Self::Month => 1.month(),
            Self::Day => 1.day(),
            Self::Hour => 1.hour(),
            Self::Minute => 1.minute(),
            Self::Second => 1.second(),
            Self::Millisecond => 1.millisecond(),
        }
    }
}

struct Moment<'a> {
    civil: DateTime,
    precision: Precision,
    zone: &'a str,
}

impl<'a> Moment<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (date, rest) = match text.find(['T', ' ']) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let (date, mut precision) = parse_date(date)?;
        let Some(rest) = rest else {
            return Some(Self { civil: date.at(0, 0, 0, 0), precision, zone: "" });
        };
        if precision != Precision::Day {
            return None;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(rest.len());
        let (clock, zone) = rest.split_at(end);
        let ([hour, minute, second], nanos, parts) = parse_clock(clock)?;
        precision = match (parts, nanos) {
            (1, _) => Precision::Hour,
            (2, _) => Precision::Minute,
            (_, None) => Precision::Second,
            (_, Some(_)) => Precision::Millisecond,
        };
        let civil =
            DateTime::new(date.year(), date.month(), date.day(), hour, minute, second, nanos.unwrap_or(0));
        Some(Self { civil: civil.ok()?, precision, zone: zone.trim_start() })
    }

    fn begin(&self, local: &TimeZone) -> Option<Timestamp> {
        timestamp(self.civil, &self.find_zone(local)?)
    }

    fn end(&self, local: &TimeZone) -> Option<Timestamp> {
        timestamp(self.civil.checked_add(self.precision.length()).ok()?, &self.find_zone(local)?)
    }

    fn find_zone(&self, local: &TimeZone) -> Option<TimeZone> {
        match self.zone {
            "" => Some(local.clone()),
            "Z" | "UTC" | "GMT" => Some(TimeZone::UTC),
            offset if offset.starts_with(['+', '-']) => parse_offset(offset).map(TimeZone::fixed),
            name => {
                let here = self.civil.to_zoned(local.clone()).ok()?;
                (here.strftime("%Z").to_string() == name).then(|| local.clone())
            }
        }
    }
}

fn parse_date(text: &str) -> Option<(Date, Precision)> {
    let mut parts = text.split('-');
    let year = parts.next().filter(|year| year.len() == 4)?.parse().ok()?;
    let (month, day) = (parts.next(), parts.next());
    let precision = match (month, day) {
        (None, _) => Precision::Year,
        (_, None) => Precision::Month,
        _ => Precision::Day,
    };
    let part = |text: Option<&str>| text.map_or(Some(1), parse_two_digits);
    let date = Date::new(year, part(month)?, part(day)?).ok()?;
    parts.next().is_none().then_some((date, precision))
}

/// Hour, minute and second, nanoseconds if there is a fraction, and how many parts were given.
fn parse_clock(text: &str) -> Option<([i8; 3], Option<i32>, usize)> {
    let (whole, fraction) =
        text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut clock = [0; 3];
    let mut given = 0;
    for part in whole.split(':') {
        *clock.get_mut(given)? = parse_two_digits(part)?;
        given += 1;
    }
    let nanos = match fraction {
        None => None,
        Some(digits) if given == 3 && (1..=9).contains(&digits.len()) => {
            Some(format!("{digits:0<9}").parse().ok()?)
        }
        Some(_) => return None,
    };
    Some((clock, nanos, given))
}

fn parse_two_digits(text: &str) -> Option<i8> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// `+07`, `+0700`, `+07:00`.
fn parse_offset(text: &str) -> Option<Offset> {
    let (sign, digits) = text.split_at(1);
    let digits = digits.replacen(':', "", 1);
    let (hours, minutes) = match digits.len() {
        2 => (digits.as_str(), "0"),
        4 => digits.split_at(2),
        _ => return None,
    };
    let seconds = i32::from(parse_two_digits(hours)?) * 3600 + i32::from(parse_two_digits(minutes)?) * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()
}

fn timestamp(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let nanos = civil.to_zoned(zone.clone()).ok()?.timestamp().as_nanosecond();
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

fn instant(time: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos()))
        .expect("64 bits of nanoseconds are inside jiff's range")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(text: &str, zone: &TimeZone) -> String {
        let now = "2026-08-21T13:14:15Z".parse().unwrap();
        match Wanted::parse(text, now, zone) {
            Ok(Wanted::Before(limit)) => limit.to_string(),
            Ok(other) => format!("{other:?}"),
            Err(_) => "refused".to_owned(),
        }
    }

    #[test]
    fn a_time_includes_all_of_what_it_names() {
        for (text, limit) in [
            ("latest", "Latest"),
            ("oldest", "Oldest"),
            ("yesterday", "2026-08-21T00:00:00Z"),
            ("last-month", "2026-08-01T00:00:00Z"),
            ("last-year", "2026-01-01T00:00:00Z"),
            ("1d-ago", "2026-08-21T00:00:00Z"),
            ("1y-2months-3days-ago", "2025-06-19T00:00:00Z"),
            ("2024", "2025-01-01T00:00:00Z"),
            ("2024-2", "2024-03-01T00:00:00Z"),
            ("2024-06-01", "2024-06-02T00:00:00Z"),
            ("2024-06-01T10", "2024-06-01T11:00:00Z"),
            ("2024-06-01 10:05", "2024-06-01T10:06:00Z"),
            ("2024-06-01 10:05:06 UTC", "2024-06-01T10:05:07Z"),
            ("2024-06-01 10:05:06.500 UTC", "2024-06-01T10:05:06.501Z"),
            ("2024-06-01T10:05:06+02:00", "2024-06-01T08:05:07Z"),
            ("2024-06-01 10:05:06-0130", "2024-06-01T11:35:07Z"),
        ] {
            assert_eq!(before(text, &TimeZone::UTC), limit, "{text}");
        }
        for bad in [
            "nonsense",
            "ago",
            "-ago",
            "3x-ago",
            "1d-1y-ago",
            "24",
            "2024-13",
            "2024-06 10:00",
            "2024-06-01 1:2:3:4",
        ] {
            assert_eq!(before(bad, &TimeZone::UTC), "refused", "{bad}");
        }
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let zone = TimeZone::fixed(Offset::constant(11));
        assert_eq!(before("yesterday", &zone), "2026-08-21T13:00:00Z");
        assert_eq!(before("2024-06-01", &zone), "2024-06-01T13:00:00Z");
        assert_eq!(before("2024-06-01 10:05:06 XYZ", &zone), "refused");
    }

    #[test]
    fn snapshots_begin_before_the_limit() {
        let at = Timestamp::from_nanos;
        let starts = [at(30), at(20), at(10)];
        assert_eq!(Wanted::Latest.choose(&starts), Some(0));
        assert_eq!(Wanted::Oldest.choose(&starts), Some(2));
        assert_eq!(Wanted::Before(at(20)).choose(&starts), Some(2));
        assert_eq!(Wanted::Before(at(10)).choose(&starts), None);
        assert_eq!(Wanted::Latest.choose(&[]), None);
    }
}

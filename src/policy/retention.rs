//! Which snapshots are kept, and why.
//!
//! Source: kopia `snapshot/policy/retention_policy.go`.

use super::RetentionPolicy;
use crate::base::Timestamp;
use jiff::tz::TimeZone;
use std::cmp::Reverse;
use std::collections::HashSet;

/// Incomplete snapshots younger than this, counted back from the newest snapshot, are kept.
const INCOMPLETE_AGE_NANOS: i64 = 4 * 3600 * 1_000_000_000;

/// So many incomplete snapshots are kept whatever their age.
const INCOMPLETE_COUNT: usize = 3;

const HOUR_NANOS: i64 = 3600 * 1_000_000_000;
const SECOND_NANOS: i128 = 1_000_000_000;
const DAY_SECONDS: i128 = 86_400;

/// What retention needs to know of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionCandidate {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Whether it is a checkpoint or was cut short.
    pub incomplete: bool,
    /// Whether it has a pin.
    pub pinned: bool,
}

/// Why each snapshot of one source is kept, in the order of `candidates`; nothing for those to be deleted.
///
/// Days, months and years are those of UTC, weeks and limits those of `zone`: so does Kopia, whose sets of identifiers
/// also collide between months and weeks. All of it decides what is deleted, so all of it is reproduced.
pub fn reasons(
    candidates: &[RetentionCandidate],
    policy: &RetentionPolicy,
    zone: &TimeZone,
) -> Vec<Vec<String>> {
    let mut kept = vec![Vec::new(); candidates.len()];
    let mut newest_first: Vec<usize> = (0..candidates.len()).collect();
    newest_first.sort_by_key(|at| Reverse((candidates[*at].start, candidates[*at].end)));
    let complete = newest_first.iter().find(|at| !candidates[**at].incomplete);
    if let Some(newest) = complete {
        let mut rules = Rules::new(policy, candidates[*newest].start, zone);
        for (position, &at) in newest_first.iter().enumerate() {
            if !candidates[at].incomplete {
                kept[at] = rules.apply(position, candidates[at].start, zone);
            }
        }
    }
    for (position, &at) in newest_first.iter().enumerate() {
        let age = candidates[newest_first[0]].start.nanos_since(candidates[at].start);
        if candidates[at].incomplete && (age < INCOMPLETE_AGE_NANOS || position < INCOMPLETE_COUNT) {
            kept[at].push("incomplete".to_owned());
        } else {
            break;
        }
    }
    kept
}

/// The positions of the snapshots of one source that have neither a reason to be kept nor a pin.
pub fn expired(candidates: &[RetentionCandidate], policy: &RetentionPolicy, zone: &TimeZone) -> Vec<usize> {
    let kept = reasons(candidates, policy, zone);
    (0..candidates.len()).filter(|at| kept[*at].is_empty() && !candidates[*at].pinned).collect()
}

/// A kind of period, in the order in which Kopia claims identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Latest,
    Annual,
    Monthly,
    Weekly,
    Daily,
    Hourly,
}

impl Period {
    fn name(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Annual => "annual",
            Self::Monthly => "monthly",
            Self::Weekly => "weekly",
            Self::Daily => "daily",
            Self::Hourly => "hourly",
        }
    }

    /// The place of its reason among those of a snapshot.
    fn rank(self) -> u8 {
        match self {
            Self::Latest => 0,
            Self::Hourly => 1,
            Self::Daily => 2,
            Self::Weekly => 3,
            Self::Monthly => 4,
            Self::Annual => 5,
        }
    }

    /// What tells one period of this kind from the next.
    fn identifier(self, position: usize, start: Timestamp, zone: &TimeZone) -> String {
        let at = jiff::Timestamp::from_nanosecond(i128::from(start.as_nanos()))
            .expect("64 bits of nanoseconds are within jiff's range");
        let utc = TimeZone::UTC.to_datetime(at);
        match self {
            Self::Latest => position.to_string(),
            Self::Annual => format!("{:04}", utc.year()),
            Self::Monthly => format!("{:04}-{:02}", utc.year(), utc.month()),
            Self::Weekly => {
                let week = zone.to_datetime(at).date().iso_week_date();
                format!("{:04}-{:02}", week.year(), week.week())
            }
            Self::Daily => format!("{:04}-{:02}-{:02}", utc.year(), utc.month(), utc.day()),
            Self::Hourly => {
                format!("{:04}-{:02}-{:02} {:02}", utc.year(), utc.month(), utc.day(), utc.hour())
            }
        }
    }
}

/// A period with its limits.
struct Rule {
    period: Period,
    most: i64,
    count: i64,
    /// Nanoseconds; earlier snapshots are not considered.
    cutoff: i128,
}

/// All periods that have a limit, with what they claimed so far.
struct Rules {
    rules: Vec<Rule>,
    claimed: HashSet<String>,
}

impl Rules {
    fn new(policy: &RetentionPolicy, newest: Timestamp, zone: &TimeZone) -> Self {
        let ago = |years, months, days| years_months_days_ago(newest, years, months, days, zone);
        let hours_ago = |hours: i64| {
            // Go's durations wrap; a limit of millions of hours then means something else, in Kopia too.
            i128::from(newest.as_nanos()) + i128::from(hours.wrapping_neg().wrapping_mul(HOUR_NANOS))
        };
        let latest = latest_limit(policy);
        let rule = |period, limit: Option<i64>, cutoff: &dyn Fn(i64) -> i128| {
            limit.map(|most| Rule { period, most, count: 0, cutoff: cutoff(most) })
        };
        let rules = [
            rule(Period::Latest, latest, &|_| i128::MIN),
            rule(Period::Annual, policy.keep_annual, &|n| ago(n.into(), 0, 0)),
            rule(Period::Monthly, policy.keep_monthly, &|n| ago(0, n.into(), 0)),
            rule(Period::Weekly, policy.keep_weekly, &|n| ago(0, 0, i128::from(n) * 7)),
            rule(Period::Daily, policy.keep_daily, &|n| ago(0, 0, n.into())),
            rule(Period::Hourly, policy.keep_hourly, &hours_ago),
        ];
        Self { rules: rules.into_iter().flatten().collect(), claimed: HashSet::new() }
    }

    /// The reasons to keep a complete snapshot; called from the newest to the oldest.
    fn apply(&mut self, position: usize, start: Timestamp, zone: &TimeZone) -> Vec<String> {
        let mut found = Vec::new();
        for rule in &mut self.rules {
            if i128::from(start.as_nanos()) < rule.cutoff || rule.count >= rule.most {
                continue;
            }
            if self.claimed.insert(rule.period.identifier(position, start, zone)) {
                rule.count += 1;
                found.push((rule.period.rank(), format!("{}-{}", rule.period.name(), rule.count)));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(_, reason)| reason).collect()
    }
}

/// The limit of the newest; none at all if every limit is 0 or unset, because then everything is kept.
fn latest_limit(policy: &RetentionPolicy) -> Option<i64> {
    let limits = [
        policy.keep_latest,
        policy.keep_hourly,
        policy.keep_daily,
        policy.keep_weekly,
        policy.keep_monthly,
        policy.keep_annual,
    ];
    let sum = limits.iter().fold(0_i64, |sum, limit| sum.wrapping_add(limit.unwrap_or(0)));
    if sum == 0 { Some(i64::MAX) } else { policy.keep_latest }
}

/// Goes back by the local calendar, in nanoseconds since the epoch. A day past the end of its month runs into the next,
/// as Go's `AddDate` has it.
fn years_months_days_ago(from: Timestamp, years: i128, months: i128, days: i128, zone: &TimeZone) -> i128 {
    let seconds = i128::from(from.as_seconds());
    let local = seconds + offset(zone, seconds);
    let (year, month, day) = civil_of_days(local.div_euclid(DAY_SECONDS));
    let months = (year - years) * 12 + (month - 1) - months;
    let day_number = days_of_month(months) + day - 1 - days;
    let local = day_number * DAY_SECONDS + local.rem_euclid(DAY_SECONDS);
    // Go guesses the offset as if the local time were UTC, and corrects the guess once unless it is zero.
    let guess = offset(zone, local);
    let offset = if guess == 0 { 0 } else { offset(zone, local - guess) };
    (local - offset) * SECOND_NANOS + i128::from(from.subsecond_nanos())
}

/// Seconds east of UTC at a moment, which may lie far outside what calendars know.
fn offset(zone: &TimeZone, seconds: i128) -> i128 {
    let least = i128::from(jiff::Timestamp::MIN.as_second());
    let most = i128::from(jiff::Timestamp::MAX.as_second());
    i64::try_from(seconds.clamp(least, most))
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or(0, |at| i128::from(zone.to_offset(at).seconds()))
}

/// Days since the epoch of the first of a month, counted from January of year 0.
fn days_of_month(months: i128) -> i128 {
    // Years that begin in March, so that the leap day is the last of its year.
    let (year, month) = ((months - 2).div_euclid(12), (months - 2).rem_euclid(12));
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 - 719_468
}

/// Year, month and day of a day since the epoch.
fn civil_of_days(days: i128) -> (i128, i128, i128) {
    // An average month is 30.44 days long: the estimate is at most one month off.
    let mut months = 1970 * 12 + days * 100 / 3044;
    while days_of_month(months) > days {
        months -= 1;
    }
    while days_of_month(months + 1) <= days {
        months += 1;
    }
    (months.div_euclid(12), months.rem_euclid(12) + 1, days - days_of_month(months) + 1)
}

/// Joins runs of reasons for display: `latest-1`, `latest-2` become `latest-1..2`.
///
/// Source: kopia `snapshot/policy/retention_policy.go` (`CompactRetentionReasons`).
pub fn compact_reasons(reasons: &[String]) -> Vec<String> {
    const ORDER: [&str; 6] = ["latest", "hourly", "daily", "weekly", "monthly", "annual"];
    let mut numbered: Vec<(&str, i64)> = Vec::new();
    let mut compact: Vec<(usize, String, String)> = Vec::new();
    // Unknown words come first.
    let rank = |word: &str| ORDER.iter().position(|known| *known == word).map_or(0, |at| at + 1);
    for reason in reasons {
        let (word, number) = reason.rsplit_once('-').unwrap_or((reason, ""));
        match number.parse() {
            Ok(number) => numbered.push((word, number)),
            Err(_) => compact.push((rank(word), word.to_owned(), reason.clone())),
        }
    }
    numbered.sort_unstable();
    for run in numbered.chunk_by(|a, b| a.0 == b.0 && a.1.checked_add(1) == Some(b.1)) {
        let [(word, first), ..] = run else { continue };
        let text = match run {
            [_] => format!("{word}-{first}"),
            [.., (_, last)] => format!("{word}-{first}..{last}"),
            [] => continue,
        };
        compact.push((rank(word), (*word).to_owned(), text));
    }
    compact.sort();
    compact.into_iter().map(|(_, _, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> RetentionCandidate {
        let (text, incomplete) = match text.strip_suffix('!') {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (date, time) = text.split_once(' ').unwrap();
        let date = if date.len() == 5 { format!("2020-{date}") } else { date.to_owned() };
        let start: Timestamp = format!("{date}T{time}:00Z").parse().unwrap();
        RetentionCandidate { start, end: start, incomplete, pinned: false }
    }

    /// Each line: a time (`!` for incomplete) and its reasons.
    fn check(policy: &RetentionPolicy, lines: &[(&str, &str)]) {
        let candidates: Vec<_> = lines.iter().map(|(time, _)| snapshot(time)).collect();
        let found: Vec<_> =
            reasons(&candidates, policy, &TimeZone::UTC).iter().map(|r| r.join(" ")).collect();
        let wanted: Vec<_> = lines.iter().map(|(_, reasons)| *reasons).collect();
        assert_eq!(found, wanted);
    }

    fn keep(text: &str) -> RetentionPolicy {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn periods_keep_their_newest() {
        check(
            &keep("{}"),
            &[
                ("01-01 12:00", "latest-4"),
                ("01-01 12:01", "latest-3"),
                ("01-01 12:02", "latest-2"),
                ("01-01 12:03", "latest-1"),
            ],
        );
        check(
            &keep(r#"{"keepDaily":3}"#),
            &[
                ("01-01 12:00", ""),
                ("01-01 15:00", ""),
                ("01-02 12:00", ""),
                ("01-02 15:00", "daily-3"),
                ("01-03 12:00", ""),
                ("01-03 15:00", "daily-2"),
                ("01-04 12:00", ""),
                ("01-04 15:00", "daily-1"),
            ],
        );
        check(
            &keep(r#"{"keepMonthly":3}"#),
            &[
                ("01-01 12:00", ""),
                ("01-01 15:00", ""),
                ("02-01 12:00", ""),
                ("02-02 15:00", "monthly-3"),
                ("03-01 12:00", ""),
                ("03-02 15:00", "monthly-2"),
                ("04-01 12:00", ""),
                ("04-02 15:00", "monthly-1"),
            ],
        );
        check(
            &keep(r#"{"keepWeekly":3}"#),
            &[
                ("01-01 12:00", ""),
                ("01-01 15:00", "weekly-3"),
                ("01-08 12:00", ""),
                ("01-09 12:00", "weekly-2"),
                ("01-15 12:00", "weekly-1"),
            ],
        );
    }

    #[test]
    fn incomplete_ones_stay_for_a_while() {
        let policy = keep(r#"{"keepLatest":3,"keepHourly":7,"keepDaily":5,"keepMonthly":2}"#);
        check(
            &policy,
            &[
                ("01-01 12:00", ""),
                ("03-01 15:00", ""),
                ("03-02 15:00", "monthly-2"),
                ("04-01 15:00", "daily-2"),
                ("04-02 12:00", "latest-3 hourly-3"),
                ("04-02 13:00", "latest-2 hourly-2"),
                ("04-02 15:00", "latest-1 hourly-1 daily-1 monthly-1"),
                ("04-02 15:01!", ""),
                ("04-02 19:01!", ""),
                ("04-02 20:01!", "incomplete"),
                ("04-02 21:01!", "incomplete"),
                ("04-02 22:01!", "incomplete"),
                ("04-02 23:01!", "incomplete"),
                ("04-02 23:50!", "incomplete"),
            ],
        );
        check(
            &keep(r#"{"keepLatest":3}"#),
            &[
                ("04-02 15:00", "latest-1"),
                ("04-02 15:01!", ""),
                ("04-02 16:01!", ""),
                ("04-02 17:01!", ""),
                ("04-02 18:01!", "incomplete"),
                ("04-02 19:01!", "incomplete"),
                ("04-02 23:50!", "incomplete"),
            ],
        );
    }

    #[test]
    fn months_and_weeks_collide_as_in_kopia() {
        let candidates: Vec<_> = (0..63)
            .map(|day| {
                let start = Timestamp::from_seconds(1_701_432_000 + day * 86_400, 0);
                RetentionCandidate { start, end: start, incomplete: false, pinned: false }
            })
            .collect();
        let found = reasons(&candidates, &super::super::Policy::built_in().retention, &TimeZone::UTC);
        let kept: Vec<_> = candidates
            .iter()
            .zip(&found)
            .filter(|(_, reasons)| !reasons.is_empty())
            .map(|(snapshot, reasons)| (snapshot.start.to_string(), reasons.join(",")))
            .collect();
        assert_eq!(kept.len(), 12);
        assert_eq!(kept[0], ("2023-12-31T12:00:00Z".into(), "monthly-3,annual-2".into()));
        assert_eq!(kept[1], ("2024-01-21T12:00:00Z".into(), "weekly-3".into()));
        assert_eq!(kept[2].0, "2024-01-23T12:00:00Z");
    }

    #[test]
    fn pins_outlive_their_reasons() {
        let mut candidates = ["01-01 12:00", "01-02 12:00", "01-03 12:00"].map(snapshot);
        candidates[0].pinned = true;
        assert_eq!(expired(&candidates, &keep(r#"{"keepLatest":1}"#), &TimeZone::UTC), [1]);
        assert!(expired(&[], &keep("{}"), &TimeZone::UTC).is_empty());
    }

    #[test]
    fn absurd_limits_do_no_harm() {
        let policy = keep(
            r#"{"keepAnnual":9223372036854775807,"keepMonthly":-9223372036854775808,"keepHourly":9999999999,
                "keepDaily":-5,"keepWeekly":999999999999}"#,
        );
        let candidates = ["01-01 12:00", "1677-12-01 12:00", "2262-01-01 00:00"].map(snapshot);
        assert_eq!(reasons(&candidates, &policy, &TimeZone::UTC).len(), 3);
    }

    #[test]
    fn the_calendar_runs_back_like_go() {
        let ago = |text: &str, months, days| {
            let from = snapshot(text).start;
            let nanos = years_months_days_ago(from, 0, months, days, &TimeZone::UTC);
            Timestamp::from_nanos(i64::try_from(nanos).unwrap()).to_string()
        };
        assert_eq!(ago("2020-03-31 01:00", 1, 0), "2020-03-02T01:00:00Z");
        assert_eq!(ago("2021-03-31 01:00", 1, 0), "2021-03-03T01:00:00Z");
        assert_eq!(ago("2020-01-15 01:00", 13, 0), "2018-12-15T01:00:00Z");
        assert_eq!(ago("2020-03-01 01:00", 0, 1), "2020-02-29T01:00:00Z");
        assert_eq!(ago("1700-03-01 01:00", 0, 1), "1700-02-28T01:00:00Z");
    }

    #[test]
    fn runs_of_reasons_are_joined() {
        let compact =
            |text: &str| compact_reasons(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).join(", ");
        assert_eq!(compact("latest-1 daily-3 latest-2 daily-2"), "latest-1..2, daily-2..3");
        assert_eq!(compact("latest-1 latest-2 latest-5 latest-6 latest-7"), "latest-1..2, latest-5..7");
        assert_eq!(compact("annual-1 incomplete hourly-1"), "incomplete, hourly-1, annual-1");
    }
}

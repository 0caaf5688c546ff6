//! Whether a cron expression can be stored: the syntax of `hashicorp/cronexpr`, with five to seven fields.

/// One field: its least and greatest value, its names, and the greatest step.
struct Field {
    least: u32,
    most: u32,
    digits: std::ops::RangeInclusive<usize>,
    names: &'static [&'static str],
    step: u32,
}

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: &[&str] = &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const SIXTY: Field = Field { least: 0, most: 59, digits: 1..=2, names: &[], step: 59 };
const HOUR: Field = Field { least: 0, most: 23, digits: 1..=2, names: &[], step: 23 };
const DAY_OF_MONTH: Field = Field { least: 1, most: 31, digits: 1..=2, names: &[], step: 31 };
const MONTH: Field = Field { least: 1, most: 12, digits: 1..=2, names: MONTHS, step: 12 };
const DAY_OF_WEEK: Field = Field { least: 0, most: 7, digits: 1..=2, names: DAYS, step: 6 };
const YEAR: Field = Field { least: 1970, most: 2099, digits: 4..=4, names: &[], step: 2099 };

const ALIASES: &[&str] = &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly"];

/// Whether the expression parses; what follows `#` is a comment, and an expression that is nothing else is fine.
pub(super) fn is_valid(expression: &str) -> bool {
    let text = expression.split('#').next().unwrap_or_default().trim();
    // Every alias stands for seven fields that parse.
    let text = ALIASES.iter().fold(text.to_owned(), |text, alias| text.replace(alias, "0 0 0 1 1 * *"));
    if text.is_empty() {
        return true;
    }
    let fields: Vec<String> = text.split_ascii_whitespace().map(str::to_lowercase).collect();
    let with_seconds = usize::from(fields.len() >= 7);
    let expected = [SIXTY, SIXTY, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, YEAR];
    let kinds = expected.iter().enumerate().skip(1 - with_seconds);
    fields.len() >= 5
        && fields.iter().zip(kinds).all(|(field, (kind, expected))| accepts(field, expected, kind))
}

/// Whether a field holds at least one entry, and only good ones. `kind` is the position among all seven fields.
fn accepts(field: &str, expected: &Field, kind: usize) -> bool {
    let mut entries = field.split(',').filter(|entry| !entry.is_empty()).peekable();
    entries.peek().is_some()
        && entries.all(|entry| {
            expected.is_plain(entry)
                || match kind {
                    3 => {
                        matches!(entry, "l" | "lw")
                            || entry.strip_suffix('w').is_some_and(|day| expected.is_value(day))
                    }
                    // Kopia cuts the line at `#`, so the third Monday (`1#3`) is any Monday.
                    5 => entry.strip_suffix('l').is_some_and(|day| expected.is_value(day)),
                    _ => false,
                }
        })
}

impl Field {
    /// `*`, `5`, `5-7`, each perhaps with a step `/2`.
    fn is_plain(&self, entry: &str) -> bool {
        let (values, step) = match entry.split_once('/') {
            Some((values, step)) => (values, Some(step)),
            None => (entry, None),
        };
        let step_fits = step.is_none_or(|step| self.is_step(step));
        let wildcard = values == "*" || (values == "?" && step.is_none());
        let values_fit = wildcard
            || match values.split_once('-') {
                Some((first, last)) => self.is_value(first) && self.is_value(last),
                None => self.is_value(values),
            };
        step_fits && values_fit
    }

    /// Kopia's parser knows numbers from a list: to 59, and years.
    fn is_step(&self, text: &str) -> bool {
        let known = match text.len() {
            1 | 2 => 1..=59,
            4 => 1970..=2099,
            _ => return false,
        };
        text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|step| known.contains(&step) && step <= self.step)
    }

    fn is_value(&self, text: &str) -> bool {
        let named = self.names.iter().any(|name| text == *name || text == &name[..3]);
        named
            || (self.digits.contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_digit())
                && text.parse::<u32>().is_ok_and(|value| (self.least..=self.most).contains(&value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_kopia_accepts() {
        for good in [
            "0 1 * * *",
            "*/5 0-6,12 1,15 jan-mar,December MON-fri # working days",
            "0 0 l * 5L",
            "0 0 15w,lw * 1#9",
            "0 0 0 1 1 * 2030-2040/2",
            "0 0 1 1 ? 2030",
            "@daily",
            "# nothing",
            "",
            "5-3 0,,1 * * 7/6",
            "*/09 * * * 0L",
            "@daily x",
            "0 0 31 2 *",
            "0 1 * * * * * beyond the seventh",
        ] {
            assert!(is_valid(good), "{good}");
        }
        for bad in [
            "0 1 * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "*/60 * * * *",
            "*/059 * * * *",
            "?/2 * * * *",
            "000 * * * *",
            "* * 32w * *",
            "* * * sept *",
            "* * * * 7/7",
            "@DAILY",
            "nonsense",
            "a b c d e",
            ", * * * *",
            "0 0 1 1 * 1969",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}

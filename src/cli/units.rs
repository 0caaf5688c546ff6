//! Durations, sizes and numbers as Kopia reads and prints them.

use std::time::Duration;

const NANOS: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
    ("d", 86_400e9),
    ("w", 604_800e9),
];

/// `1h30m`, `1.5h`, `7d`: Go's durations, with days and weeks.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let nanos = parse_nanos(text)?;
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| format!("{text:?} is a negative duration"))
}

/// A duration of either sign, in nanoseconds.
pub(crate) fn parse_nanos(text: &str) -> Result<i64, String> {
    let bad = || format!("{text:?} is not a duration such as 1h30m, 90s or 7d");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let factor = NANOS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?.1;
        total += number.parse::<f64>().map_err(|_| bad())? * factor;
        rest = after;
    }
    if total >= i64::MAX as f64 {
        return Err(bad());
    }
    let nanos = total.round() as i64;
    Ok(if negative { -nanos } else { nanos })
}

/// A number that Kopia reads as a fraction and cuts: `1.9` is 1, `1e2` is 100.
pub(crate) fn parse_number(text: &str) -> Result<i64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number.abs() < 9.2e18 => Ok(number as i64),
        _ => Err(format!("{text:?} is not a number")),
    }
}

/// A switch in the spellings of Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A 64-bit integer in Go's notations: `10`, `0x10`, `0o10`, `0b10`, `010`, `1_000`.
pub(crate) fn parse_integer(text: &str) -> Result<i64, String> {
    let bad = || format!("{text:?} is not an integer");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    let digits = digits.replace('_', "");
    if digits.starts_with(['+', '-']) {
        return Err(bad());
    }
    let value = i128::from_str_radix(&digits, radix).map_err(|_| bad())?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| bad())
}

/// A size in bytes: `1000`, `128MiB`, `1.5GB`; `K`, `M`, `G` alone count in 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a size such as 128MiB or 2GB");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "K" | "Ki" | "KiB" => 1 << 10,
        "M" | "Mi" | "MiB" => 1 << 20,
        "G" | "Gi" | "GiB" => 1 << 30,
        "T" | "Ti" | "TiB" => 1 << 40,
        "KB" | "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(bad()),
    };
    let bytes = number.parse::<f64>().map_err(|_| bad())? * factor as f64;
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(bad()) }
}

/// How sizes are printed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sizes {
    /// KiB, MiB … instead of KB, MB ….
    pub(crate) base_2: bool,
}

impl Sizes {
    /// `21 MB`, `1.5 KB`, `999 B`: the next unit begins at nine tenths of it, a trailing `.0` is left out.
    pub(crate) fn format(self, bytes: u64) -> String {
        let (thousand, units): (f64, &[&str]) = if self.base_2 {
            (1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
        } else {
            (1000.0, &["B", "KB", "MB", "GB", "TB", "PB", "EB"])
        };
        let mut value = bytes as f64;
        let mut unit = 0;
        while value >= 0.9 * thousand && unit + 1 < units.len() {
            value /= thousand;
            unit += 1;
        }
        let text = format!("{value:.1}");
        format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), units[unit])
    }
}

/// Nanoseconds in Go's form: `1h0m0s`, `1m30.5s`, `300ms`, `0s`.
pub(crate) fn format_nanos(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let fraction = |unit: u64, name: &str| {
        let text = format!("{}.{:0width$}", size / unit, size % unit, width = unit.ilog10() as usize);
        format!("{sign}{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    if size == 0 {
        return "0s".to_owned();
    }
    match size {
        ..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        _ => {
            let (minutes, rest) = (size / 60_000_000_000, size % 60_000_000_000);
            let text = format!("{}.{:09}", rest / 1_000_000_000, rest % 1_000_000_000);
            let seconds = text.trim_end_matches('0').trim_end_matches('.');
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos_with_days_and_weeks() {
        for (text, nanos) in [
            ("1h30m", 5_400_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("7d", 604_800_000_000_000),
            ("2w", 1_209_600_000_000_000),
            ("300ms", 300_000_000),
            ("-1s", -1_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse_nanos(text), Ok(nanos), "{text}");
        }
        for bad in ["", "1", "h", "1x", "1h30", "1..5h", "-", "999999999w"] {
            assert!(parse_nanos(bad).is_err(), "{bad}");
        }
        assert!(parse_duration("-1s").is_err());
        for (nanos, text) in [
            (0, "0s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_500_000_000, "1m30.5s"),
            (300_000_000, "300ms"),
            (1_500, "1.5µs"),
            (-1_000_000_000, "-1s"),
        ] {
            assert_eq!(format_nanos(nanos), text);
        }
    }

    #[test]
    fn sizes_and_numbers_are_kopias() {
        assert_eq!(parse_size("128MiB"), Ok(128 << 20));
        assert_eq!(parse_size("1.5GB"), Ok(1_500_000_000));
        assert!(parse_size("x").is_err() && parse_size("-1").is_err() && parse_size("1XB").is_err());
        assert_eq!((parse_number("1.9"), parse_number("1e2")), (Ok(1), Ok(100)));
        assert!(parse_number("0x10").is_err());
        assert_eq!(
            (parse_integer("0x10"), parse_integer("010"), parse_integer("-5")),
            (Ok(16), Ok(8), Ok(-5))
        );
        assert!(parse_integer("1.5").is_err() && parse_integer("--5").is_err() && parse_integer("").is_err());
        let decimal = Sizes::default();
        for (bytes, text) in
            [(0, "0 B"), (899, "899 B"), (900, "0.9 KB"), (20_971_520, "21 MB"), (10_485_760, "10.5 MB")]
        {
            assert_eq!(decimal.format(bytes), text);
        }
        assert_eq!(Sizes { base_2: true }.format(1536), "1.5 KiB");
    }
}

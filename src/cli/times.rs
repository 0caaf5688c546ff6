//! Moments and zones in text.

use super::Result;
use super::exit::Failure;
use jiff::tz::TimeZone;
use packhorse::base::Timestamp;

/// The zone that times are printed in.
#[derive(Debug, Clone)]
pub(crate) struct Zone(TimeZone);

impl Zone {
    /// `local`, `utc`, `original` (times are stored in UTC), or an IANA name.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        match name {
            "local" | "" => Ok(Self(TimeZone::system())),
            "utc" | "original" => Ok(Self(TimeZone::UTC)),
            name => TimeZone::get(name)
                .map(Self)
                .map_err(|_| Failure::usage(format!("--timezone: {name:?} is not a known time zone"))),
        }
    }

    /// `2026-08-21 10:00:00 CEST`.
    pub(crate) fn format(&self, time: Timestamp) -> String {
        let instant = jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos()))
            .expect("64 bits of nanoseconds are inside jiff's range");
        instant.to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_local_utc_or_iana() {
        let time: Timestamp = "2026-08-21T10:00:00.5Z".parse().unwrap();
        for (zone, text) in [
            ("utc", "2026-08-21 10:00:00 UTC"),
            ("original", "2026-08-21 10:00:00 UTC"),
            ("Europe/Berlin", "2026-08-21 12:00:00 CEST"),
        ] {
            assert_eq!(Zone::parse(zone).unwrap().format(time), text);
        }
        assert!(Zone::parse("nowhere").is_err());
        assert!(Zone::parse("utc").unwrap().format(Timestamp::from_nanos(i64::MIN)).starts_with("1677-"));
    }
}

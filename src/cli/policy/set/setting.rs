//! What a flag of `policy set` asks for.

use crate::cli::units;

/// A value, its removal, or nothing: an empty text is the same as no flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting<T> {
    Nothing,
    Inherit,
    To(T),
}

impl<T> Setting<T> {
    fn parse(text: &str, value: impl FnOnce(&str) -> Result<T, String>) -> Result<Self, String> {
        match text {
            "" => Ok(Self::Nothing),
            "inherit" | "default" => Ok(Self::Inherit),
            text => value(text).map(Self::To),
        }
    }
}

/// A number of snapshots: 32 bits, as in Kopia.
pub(super) fn count(text: &str) -> Result<Setting<i64>, String> {
    Setting::parse(text, |text| {
        text.parse::<i32>().map(i64::from).map_err(|_| format!("{text:?} is not a number or `inherit`"))
    })
}

/// A number of bytes.
pub(super) fn bytes(text: &str) -> Result<Setting<i64>, String> {
    Setting::parse(text, |text| text.parse().map_err(|_| format!("{text:?} is not a number or `inherit`")))
}

/// A log detail.
pub(super) fn detail(text: &str) -> Result<Setting<i64>, String> {
    Setting::parse(text, |text| match text.parse() {
        Ok(detail @ 0..=10) => Ok(detail),
        _ => Err("it must be a number from 0 to 10, or `inherit`".to_owned()),
    })
}

/// `true`, `false` or `inherit`, and nothing else.
pub(super) fn switch(text: &str) -> Result<Setting<bool>, String> {
    match text {
        "true" => Ok(Setting::To(true)),
        "false" => Ok(Setting::To(false)),
        "inherit" => Ok(Setting::Inherit),
        _ => Err("it must be `true`, `false` or `inherit`".to_owned()),
    }
}

/// A switch in Go's spellings, or `inherit`.
pub(super) fn loose_switch(text: &str) -> Result<Setting<bool>, String> {
    Setting::parse(text, units::parse_bool)
}

/// `never`, `always` or `when-available` as stored, or `inherit`.
pub(super) fn shadow_copy(text: &str) -> Result<Setting<u8>, String> {
    match text {
        "never" => Ok(Setting::To(0)),
        "always" => Ok(Setting::To(1)),
        "when-available" => Ok(Setting::To(2)),
        "inherit" => Ok(Setting::Inherit),
        _ => Err("it must be `never`, `always`, `when-available` or `inherit`".to_owned()),
    }
}

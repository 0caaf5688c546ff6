//! The limits as connection files keep them.

use crate::base::gojson::is_zero;
use crate::blob::Error;
use serde::{Deserialize, Serialize};

/// Limits for a store; zero means none.
///
/// Source: kopia `repo/blob/throttling/throttler.go`, `Limits`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Limits {
    /// Reads of blobs or of what is known about them, per second.
    #[serde(skip_serializing_if = "is_zero", serialize_with = "as_go")]
    pub reads_per_second: f64,
    /// Puts and deletes per second.
    #[serde(skip_serializing_if = "is_zero", serialize_with = "as_go")]
    pub writes_per_second: f64,
    /// Listings per second.
    #[serde(skip_serializing_if = "is_zero", serialize_with = "as_go")]
    pub lists_per_second: f64,
    /// Bytes put per second.
    #[serde(
        rename = "maxUploadSpeedBytesPerSecond",
        skip_serializing_if = "is_zero",
        serialize_with = "as_go"
    )]
    pub upload_bytes_per_second: f64,
    /// Bytes read per second.
    #[serde(
        rename = "maxDownloadSpeedBytesPerSecond",
        skip_serializing_if = "is_zero",
        serialize_with = "as_go"
    )]
    pub download_bytes_per_second: f64,
    /// Reads at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub concurrent_reads: i64,
    /// Puts and deletes at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub concurrent_writes: i64,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        reads_per_second: 0.0,
        writes_per_second: 0.0,
        lists_per_second: 0.0,
        upload_bytes_per_second: 0.0,
        download_bytes_per_second: 0.0,
        concurrent_reads: 0,
        concurrent_writes: 0,
    };

    /// Reads the limits out of a JSON object, which may hold other things, too.
    ///
    /// # Errors
    /// [`Error::Limits`] for limits that are negative or no numbers.
    pub fn of_json(value: &serde_json::Value) -> Result<Self, Error> {
        let limits = Self::deserialize(value).map_err(|error| Error::Limits { reason: error.to_string() })?;
        limits.checked()
    }

    /// The same limits, if all of them make sense.
    ///
    /// # Errors
    /// [`Error::Limits`].
    pub fn checked(self) -> Result<Self, Error> {
        let speeds = [
            self.reads_per_second,
            self.writes_per_second,
            self.lists_per_second,
            self.upload_bytes_per_second,
            self.download_bytes_per_second,
        ];
        let is_sound = |speed: &f64| speed.is_finite() && *speed >= 0.0;
        if speeds.iter().all(is_sound) && self.concurrent_reads >= 0 && self.concurrent_writes >= 0 {
            return Ok(self);
        }
        Err(Error::Limits { reason: "a limit is a number that is not negative; 0 means none".to_owned() })
    }
}

/// Whole numbers without a fraction, as Go writes them.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn as_go<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_are_found_among_other_options_and_written_as_kopia_does() {
        let options = json!({"path": "/repo", "readsPerSecond": 2.5, "maxUploadSpeedBytesPerSecond": 1e6,
                             "concurrentReads": 3});
        let limits = Limits::of_json(&options).unwrap();
        let wanted = Limits {
            reads_per_second: 2.5,
            upload_bytes_per_second: 1e6,
            concurrent_reads: 3,
            ..Limits::NONE
        };
        assert_eq!(limits, wanted);
        let text = serde_json::to_string(&limits).unwrap();
        assert_eq!(
            text,
            r#"{"readsPerSecond":2.5,"maxUploadSpeedBytesPerSecond":1000000,"concurrentReads":3}"#
        );
        assert_eq!(serde_json::to_string(&Limits::NONE).unwrap(), "{}");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in
            [json!({"readsPerSecond": -1}), json!({"concurrentWrites": -3}), json!({"listsPerSecond": "x"})]
        {
            assert!(Limits::of_json(&bad).is_err(), "{bad}");
        }
        assert!(Limits { reads_per_second: f64::NAN, ..Limits::NONE }.checked().is_err());
    }
}

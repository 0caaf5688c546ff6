//! How an S3 store is configured: Kopia's JSON keys.

use crate::base::{ExtraFields, Timestamp, gojson::is_zero, keeps_extra_fields};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Kopia's zero duration.
const NO_DURATION: &str = "0s";

/// Options of an [`S3`](super::S3) store, as they stand in a connection file. Unknown keys are kept, throttling limits
/// among them.
///
/// Source: kopia `repo/blob/s3/s3_options.go`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with; a folder needs its `/` at the end.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub prefix: String,
    /// Host, or host and port. A scheme before it is accepted.
    #[serde(deserialize_with = "nullable")]
    pub endpoint: String,
    /// Plain HTTP.
    #[serde(rename = "doNotUseTLS", skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub do_not_use_tls: bool,
    /// TLS with whoever answers.
    #[serde(rename = "doNotVerifyTLS", skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub do_not_verify_tls: bool,
    /// Certificates to trust instead of the system's, as PEM; none if empty.
    #[serde(rename = "rootCA", skip_serializing_if = "is_zero", with = "base64_bytes")]
    pub root_ca: Vec<u8>,
    /// Who asks; if empty, environment, profile or instance are asked.
    #[serde(rename = "accessKeyID", deserialize_with = "nullable")]
    pub access_key_id: String,
    /// What requests are signed with.
    #[serde(deserialize_with = "nullable")]
    pub secret_access_key: String,
    /// Of keys that are lent.
    #[serde(deserialize_with = "nullable")]
    pub session_token: String,
    /// A token of an identity provider, to be changed for keys.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub web_identity_token: String,
    /// The file that has such a token.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub web_identity_token_file: String,
    /// The role to take; none if empty.
    #[serde(rename = "roleARN", deserialize_with = "nullable")]
    pub role_arn: String,
    /// Name of the role's session.
    #[serde(deserialize_with = "nullable")]
    pub session_name: String,
    /// How long the role's keys live: text of a Go duration, or nanoseconds.
    #[serde(deserialize_with = "duration_text")]
    pub duration: String,
    /// Where the role is asked for, with scheme; Amazon's if empty.
    #[serde(deserialize_with = "nullable")]
    pub role_endpoint: String,
    /// Region of that.
    #[serde(deserialize_with = "nullable")]
    pub role_region: String,
    /// The region that goes into signatures; found out if empty.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub region: String,
    /// The moment to look at, of a bucket that keeps versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point_in_time: Option<Timestamp>,
    /// Puts the bucket into the host name for other servers than Amazon's, too. A key of ours; Kopia passes over it.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub virtual_host_style: bool,
    /// Throttling limits, and what newer programs have added.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(S3Options);

impl S3Options {
    /// Options for a bucket behind an endpoint.
    pub fn new(endpoint: impl Into<String>, bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            endpoint: endpoint.into(),
            duration: NO_DURATION.to_owned(),
            ..Self::default()
        }
    }
}

/// Without what must stay secret.
impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

fn nullable<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Go takes numbers, too, as nanoseconds.
fn duration_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Nanos(i64),
    }
    Ok(match Option::deserialize(deserializer)? {
        Some(Either::Text(text)) => text,
        Some(Either::Nanos(nanos)) => nanos.to_string(),
        None => NO_DURATION.to_owned(),
    })
}

mod base64_bytes {
    use super::{Deserialize, Deserializer, Engine, STANDARD, Serializer};
    use serde::de::Error;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        STANDARD.decode(text).map_err(|_| D::Error::custom("rootCA is not base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::gojson;

    fn written(options: &S3Options) -> String {
        String::from_utf8(gojson::to_vec(options).unwrap()).unwrap()
    }

    #[test]
    fn what_kopia_writes_comes_back_byte_for_byte() {
        let texts = [
            concat!(
                r#"{"bucket":"b","endpoint":"127.0.0.1:9000","doNotUseTLS":true,"accessKeyID":"k","secretAccessKey":"s","#,
                r#""sessionToken":"","roleARN":"","sessionName":"","duration":"0s","roleEndpoint":"","roleRegion":""}"#
            ),
            concat!(
                r#"{"bucket":"b","prefix":"a/","endpoint":"h","doNotVerifyTLS":true,"rootCA":"cGVt","accessKeyID":"k","#,
                r#""secretAccessKey":"s","sessionToken":"t","roleARN":"arn","sessionName":"n","duration":"1h0m0s","#,
                r#""roleEndpoint":"https://sts","roleRegion":"r","region":"eu","pointInTime":"2024-05-06T07:08:09Z","#,
                r#""readsPerSecond":1.5,"concurrentWrites":4}"#
            ),
        ];
        for text in texts {
            let options: S3Options = serde_json::from_str(text).unwrap();
            assert_eq!(written(&options), text);
        }
    }

    #[test]
    fn odd_input_is_taken_as_go_takes_it() {
        let options: S3Options = serde_json::from_str(
            r#"{"Bucket":"b","endpoint":null,"duration":5000000000,"webIdentityTokenFile":"/t","new":{"a":[1]}}"#,
        )
        .unwrap();
        assert_eq!((options.bucket.as_str(), options.duration.as_str()), ("b", "5000000000"));
        assert_eq!(options.web_identity_token_file, "/t");
        assert!(written(&options).ends_with(r#""new":{"a":[1]}}"#));
        assert_eq!(written(&S3Options::new("h", "b")).matches("0s").count(), 1);
        assert!(serde_json::from_str::<S3Options>(r#"{"rootCA":"%"}"#).is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let options = S3Options {
            secret_access_key: "HUSH".into(),
            session_token: "HUSH".into(),
            access_key_id: "HUSH".into(),
            ..S3Options::new("h", "b")
        };
        assert!(!format!("{options:?}").contains("HUSH"));
    }
}

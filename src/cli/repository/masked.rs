//! The options of a store as they may be shown.

use packhorse::blob::ConnectionInfo;
use serde_json::Value;

/// Keys that hold secrets, of whichever store.
///
/// Source: kopia, the fields of `repo/blob/*/*_options.go` tagged `sensitive`; and rclone's configuration, which Kopia shows.
const SECRETS: [&str; 12] = [
    "secretAccessKey",
    "sessionToken",
    "webIdentityToken",
    "storageKey",
    "sasToken",
    "ClientSecret",
    "clientCertificate",
    "key",
    "credentials",
    "password",
    "keyData",
    "embeddedConfig",
];

/// `info` with asterisks in place of secrets, as many as they have bytes; what is no text is left out.
pub(super) fn masked(info: &ConnectionInfo) -> ConnectionInfo {
    let mut shown = info.clone();
    if let Value::Object(options) = &mut shown.config {
        for (key, value) in options.iter_mut() {
            if SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(key)) {
                *value = match &*value {
                    Value::String(text) => Value::String("*".repeat(text.len())),
                    _ => Value::Null,
                };
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_become_asterisks_of_their_length() {
        let config = serde_json::json!({
            "bucket": "b", "accessKeyID": "AKIA", "secretAccessKey": "HUSH12", "sessionToken": "", "keyfile": "/k",
            "credentials": {"private_key": "HUSH"}, "SECRETACCESSKEY": "HUSH",
        });
        let shown = masked(&ConnectionInfo { kind: "s3".into(), config }).config;
        assert_eq!(shown["secretAccessKey"], "******");
        assert_eq!(shown["sessionToken"], "");
        assert_eq!(
            (&shown["bucket"], &shown["accessKeyID"], &shown["keyfile"]),
            (&"b".into(), &"AKIA".into(), &"/k".into())
        );
        assert!(!shown.to_string().contains("HUSH"));
    }
}

//! How stores of objects are configured: Kopia's JSON keys. Unknown keys are kept, throttling limits among them.

use crate::base::{ExtraFields, gojson::is_zero, keeps_extra_fields};
use crate::blob::sharded::nullable;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Options of a container in Azure.
///
/// Source: kopia `repo/blob/azure/azure_options.go`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct AzureOptions {
    /// The container.
    pub container: String,
    /// What every name begins with; a folder needs its `/` at the end.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub prefix: String,
    /// The account.
    pub storage_account: String,
    /// Its key.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub storage_key: String,
    /// A token in place of the key.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub sas_token: String,
    /// What the account's name stands before; `blob.core.windows.net` if empty.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub storage_domain: String,
    /// Plain HTTP.
    #[serde(rename = "doNotUseTLS", skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub do_not_use_tls: bool,
    /// The whole address of the account, for emulators and private networks. A key of ours; Kopia passes over it.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub endpoint: String,
    /// The rest.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(AzureOptions);

/// Options of a bucket in Google's cloud.
///
/// Source: kopia `repo/blob/gcs/gcs_options.go`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct GcsOptions {
    /// The bucket.
    pub bucket: String,
    /// What every name begins with; a folder needs its `/` at the end.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub prefix: String,
    /// File of a service account's key; what the machine provides is used if neither is given.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub credentials_file: String,
    /// Such a key itself.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub credentials: Value,
    /// Whether nothing may be changed.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub read_only: bool,
    /// Another address, for emulators and private networks; over plain HTTP nobody is asked who they are. A key of ours.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub endpoint: String,
    /// The rest.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(GcsOptions);

/// Without what must stay secret.
macro_rules! shows {
    ($type:ident: $field:ident) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type))
                    .field(stringify!($field), &self.$field)
                    .field("prefix", &self.prefix)
                    .finish_non_exhaustive()
            }
        }
    };
}

shows!(AzureOptions: container);
shows!(GcsOptions: bucket);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::gojson;

    fn round<T: serde::de::DeserializeOwned + Serialize + fmt::Debug>(text: &str) {
        let options: T = serde_json::from_str(text).unwrap();
        assert_eq!(String::from_utf8(gojson::to_vec(&options).unwrap()).unwrap(), text);
        assert!(!format!("{options:?}").contains("HUSH"));
    }

    #[test]
    fn keeps_what_kopia_writes() {
        round::<AzureOptions>(
            r#"{"container":"c","prefix":"p/","storageAccount":"a","storageKey":"HUSH","TenantID":"t","concurrentReads":4}"#,
        );
        round::<GcsOptions>(
            r#"{"bucket":"b","credentials":{"private_key":"HUSH"},"readOnly":true,"readsPerSecond":1.5}"#,
        );
    }
}

//! Kopia's hidden document that chooses storage classes.

use crate::blob::BlobId;
use serde::Deserialize;

/// Key of the document, after the prefix. No blob can have this name.
pub(super) const KEY: &str = ".storageconfig";

/// Which storage class blobs get; the first rule that fits decides.
///
/// Source: kopia `repo/blob/s3/s3_storage_config.go`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct StorageClasses {
    blob_options: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    prefix: String,
    storage_class: String,
}

impl StorageClasses {
    /// The class for a blob, if it is not the bucket's.
    pub(super) fn of(&self, id: &BlobId) -> Option<&str> {
        let rule = self.blob_options.iter().find(|rule| id.as_str().starts_with(&rule.prefix))?;
        Some(rule.storage_class.as_str()).filter(|class| !class.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let text = r#"{"blobOptions":[{"prefix":"p","storageClass":"GLACIER_IR"},{"prefix":"q","storageClass":""},
            {"storageClass":"STANDARD_IA"}]}"#;
        let classes: StorageClasses = serde_json::from_str(text).unwrap();
        let of = |name: &str| classes.of(&BlobId::from(name)).map(str::to_owned);
        assert_eq!(of("p1").as_deref(), Some("GLACIER_IR"));
        assert_eq!(of("q1"), None);
        assert_eq!(of("kopia.repository").as_deref(), Some("STANDARD_IA"));
        assert_eq!(StorageClasses::default().of(&"p1".into()), None);
    }
}

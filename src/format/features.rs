//! Features a client must understand before it may touch a repository.

use super::{Error, Result};
use crate::base::{ExtraFields, keeps_extra_fields};
use serde::{Deserialize, Serialize};

/// The features understood here.
const UNDERSTOOD: [&str; 2] = ["index-v1", "index-v2"];

/// One entry of `requiredFeatures`.
///
/// Source: kopia `internal/feature/feature.go`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, remote = "Self")]
pub struct RequiredFeature {
    /// The feature's name.
    pub feature: String,
    /// What a client does that does not know it.
    pub if_not_understood: IfNotUnderstood,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(RequiredFeature);

/// What a client does that does not understand a feature.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, remote = "Self")]
pub struct IfNotUnderstood {
    /// Warn and go on instead of refusing.
    pub warn: bool,
    /// Shown to the user.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Shown to the user.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// The client's version that understands the feature.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub upgrade_to_version: String,
    /// What others have written here, kept.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(IfNotUnderstood);

impl RequiredFeature {
    fn is_understood(&self) -> bool {
        UNDERSTOOD.contains(&self.feature.as_str())
    }

    fn advice(&self) -> String {
        let advice = &self.if_not_understood;
        let mut text = String::new();
        for (lead, part) in [
            ("; ", &advice.message),
            ("; see ", &advice.url),
            ("; needs version ", &advice.upgrade_to_version),
        ] {
            if !part.is_empty() {
                text.push_str(lead);
                text.push_str(part);
            }
        }
        text
    }
}

/// Checks a repository's list; returns the warnings to show.
pub(super) fn check(required: &[RequiredFeature]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for entry in required.iter().filter(|entry| !entry.is_understood()) {
        let advice = entry.advice();
        if !entry.if_not_understood.warn {
            return Err(Error::RequiredFeature { feature: entry.feature.clone(), advice });
        }
        warnings
            .push(format!("the repository uses feature {:?}, which is not supported{advice}", entry.feature));
    }
    Ok(warnings)
}

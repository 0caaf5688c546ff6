//! Fields that this program does not know, kept through a rewrite.

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use zeroize::Zeroize;

/// What a later client may have written into a document, in its order. It may hold keys, so it is never shown, and wiped
/// when dropped. (Kopia loses such fields when it rewrites a document.)
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UnknownFields(Vec<(String, Value)>);

impl UnknownFields {
    /// No such fields.
    pub const NONE: Self = Self(Vec::new());

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for UnknownFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for UnknownFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = UnknownFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = UnknownFields::NONE;
                while let Some(field) = map.next_entry()? {
                    fields.0.push(field);
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

impl fmt::Debug for UnknownFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnknownFields({})", self.0.len())
    }
}

impl Drop for UnknownFields {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| wipe(value));
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{BlobConfig, EpochParameters, FormatBlob, RepositoryFormat};

    fn survives<T: Serialize + for<'de> Deserialize<'de>>(json: &str) {
        let value: T = serde_json::from_str(json).unwrap();
        let again: Value = serde_json::to_value(&value).unwrap();
        let wanted: Value = serde_json::from_str(json).unwrap();
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(again.get(key), Some(value), "{key}");
        }
    }

    #[test]
    fn fields_of_a_later_client_survive_at_every_level() {
        survives::<FormatBlob>(r#"{"tool":"t","later":{"a":[1,"x",null]}}"#);
        survives::<BlobConfig>(r#"{"retentionMode":"GOVERNANCE","retentionPeriod":1,"legalHold":true}"#);
        survives::<EpochParameters>(r#"{"Enabled":true,"Later":18446744073709551615}"#);
        survives::<RepositoryFormat>(
            r#"{"version":3,"secondKey":"c2VjcmV0",
                "requiredFeatures":[{"feature":"f","ifNotUnderstood":{"warn":true,"x":1},"y":2}],
                "upgradeLock":{"ownerID":"o","creationTime":"2024-05-01T10:00:00Z","z":3}}"#,
        );
    }

    #[test]
    fn they_are_never_shown() {
        let format: RepositoryFormat = serde_json::from_str(r#"{"secondKey":"c2VjcmV0"}"#).unwrap();
        let shown = format!("{format:?}");
        assert!(!shown.contains("c2Vj") && !shown.contains("secondKey"), "{shown}");
    }
}

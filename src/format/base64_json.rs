//! Byte strings in JSON: standard base64 with padding; `null` is the empty string, as in Go.

use crate::base::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serializer};
use zeroize::Zeroizing;

pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Zeroizing::new(STANDARD.encode(bytes)))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.map(Zeroizing::new);
    // The text itself stays out of the message: it may hold a key.
    text.map_or(Ok(Vec::new()), |text| {
        STANDARD.decode(text.as_bytes()).map_err(|_| serde::de::Error::custom("bytes that are no base64"))
    })
}

/// The same for bytes that must not be shown.
pub(super) mod secret {
    use super::{Deserializer, Secret, Serializer};

    pub(in crate::format) fn serialize<S: Serializer>(value: &Secret, to: S) -> Result<S::Ok, S::Error> {
        super::serialize(value.expose(), to)
    }

    pub(in crate::format) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        super::deserialize(from).map(Secret::new)
    }
}

/// Reads `null` as the default value: Go writes it for slices and pointers that were never set.
pub(super) fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

//! Write sessions: a marker that keeps blob collection away from packs no index names yet.
//!
//! Source: kopia `repo/content/sessions.go`.

use super::format::ContentFormat;
use super::{Error, Result};
use crate::base::{Clock, Entropy, Timestamp, gojson};
use crate::blob::{BlobId, Storage, StorageExt};
use serde::{Deserialize, Serialize};

/// 2000-01-01T00:00:00Z, from which session months are counted.
const EPOCH_SECONDS: i64 = 946_684_800;
const MONTH_SECONDS: i64 = 30 * 86_400;

/// Who writes: the identity recorded in session markers, sources and maintenance ownership.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity {
    /// User name.
    pub username: String,
    /// Host name, lower case and without domain where Kopia derived it.
    pub hostname: String,
}

/// Body of a marker blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The session's id.
    pub id: String,
    /// When it began, by the client's clock.
    #[serde(rename = "startTime")]
    pub start_time: Timestamp,
    /// When this marker was written.
    #[serde(rename = "checkpointTime")]
    pub checkpoint_time: Timestamp,
    /// Who writes.
    pub username: String,
    /// Where.
    pub hostname: String,
}

/// A session of this process, with its marker in the store.
#[derive(Debug)]
pub(super) struct Session {
    id: String,
    marker: BlobId,
}

impl Session {
    /// Draws an id and stores the marker; no pack may be stored before this returns.
    pub(super) fn begin(
        storage: &dyn Storage,
        format: &ContentFormat,
        identity: &ClientIdentity,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Self> {
        let now = clock.now();
        let id = new_id(now, entropy);
        let info = SessionInfo {
            id: id.clone(),
            start_time: now,
            checkpoint_time: now,
            username: identity.username.clone(),
            hostname: identity.hostname.clone(),
        };
        let body = gojson::to_vec(&info).expect("a session marker has only texts");
        let (name, sealed) = format
            .crypto
            .seal(entropy, "s", &id, &body)
            .map_err(|source| Error::Crypto { action: "encrypt a session marker", source })?;
        let marker = BlobId::from(name);
        storage
            .put_now(&marker, &sealed)
            .map_err(|source| Error::Storage { action: "write the session marker", source })?;
        Ok(Self { id, marker })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Removes the marker; only after all index blobs of the session are stored.
    pub(super) fn end(self, storage: &dyn Storage) -> Result<()> {
        storage
            .delete(&self.marker)
            .map_err(|source| Error::Storage { action: "remove the session marker", source })
    }
}

fn new_id(now: Timestamp, entropy: &dyn Entropy) -> String {
    let month = (now.as_seconds() - EPOCH_SECONDS).max(0) / MONTH_SECONDS;
    format!("s{}{month:x}", hex::encode(entropy.bytes::<8>()))
}

/// The session part of a blob's name: the first part after the first `-` that begins with `s`.
pub fn session_of(blob: &BlobId) -> Option<&str> {
    blob.as_str().split('-').skip(1).find(|part| part.starts_with('s'))
}

/// All readable session markers, with the names of their blobs. A marker that vanishes meanwhile or does not decrypt is
/// passed over: it protects packs, it proves nothing.
///
/// # Errors
/// [`Error::Storage`] when the markers cannot be listed.
pub fn list_sessions(storage: &dyn Storage, format: &ContentFormat) -> Result<Vec<(BlobId, SessionInfo)>> {
    let markers =
        storage.list_all("s").map_err(|source| Error::Storage { action: "list session markers", source })?;
    let read = |blob: &BlobId| -> Option<SessionInfo> {
        let stored = storage.get(blob, None).ok()?;
        if stored.iter().all(|byte| *byte == 0) {
            tracing::warn!(%blob, "passed over a session marker that is empty or all zeroes");
            return None;
        }
        let body = format.crypto.open(blob.as_str(), stored).ok()?;
        serde_json::from_slice(&body).ok()
    };
    Ok(markers.into_iter().filter_map(|blob| read(&blob.id).map(|info| (blob.id, info))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededEntropy;

    #[test]
    fn months_are_counted_in_hex() {
        for (day, month) in [("2026-08-21T00:00:00Z", "144"), ("2024-01-01T00:00:00Z", "124")] {
            let id = new_id(day.parse().unwrap(), &SeededEntropy::new(1));
            assert_eq!(id.len(), 20);
            assert!(id.ends_with(month), "{id}");
        }
    }

    #[test]
    fn the_session_is_found_in_names() {
        assert_eq!(session_of(&"pabc-s0102144".into()), Some("s0102144"));
        assert_eq!(session_of(&"xn0_abc-s0102144-c1".into()), Some("s0102144"));
        assert_eq!(session_of(&"pabc".into()), None);
    }
}

//! Names and other short texts. A text is tried as each of them; its lines are the names of blobs in a store whose
//! index is then looked for, with and without epochs; a text in braces is a log of compaction as well.

use super::support::{clock, content_format, entropy};
use packhorse::base::Timestamp;
use packhorse::blob::{BlobId, Memory, StorageExt};
use packhorse::content::session_of;
use packhorse::format::{ContentId, EpochParameters};
use packhorse::index::{EpochSettings, IndexBlobs};
use packhorse::object::ObjectId;
use packhorse::policy::SourceInfo;
use packhorse::snapshot::Mode;
use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// More show nothing new.
const BLOBS_MAX: usize = 64;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in text.lines().take(BLOBS_MAX) {
        check_text(line);
    }
    let names: Vec<BlobId> = text.lines().take(BLOBS_MAX).map(BlobId::from).collect();
    // Listings start threads, so only where there is something to be found.
    let any = |starts: &[char]| names.iter().any(|name| name.as_str().starts_with(starts));
    if any(&['x']) {
        check_index_names(&names, true, None);
    }
    if any(&['m', 'n', '{']) {
        check_index_names(&names, false, text.starts_with('{').then_some(data));
    }
}

fn check_text(text: &str) {
    prints_as_read::<ContentId>(text);
    prints_as_read::<ObjectId>(text);
    prints_as_read::<Timestamp>(text);
    if let Ok(id) = text.parse::<ContentId>() {
        let mut key = Vec::new();
        id.append_key(&mut key);
        assert_eq!(ContentId::from_key(&key), Some(id));
        // As printed: in capitals a leading D is the old mark of a single content.
        assert_eq!(id.to_string().parse(), Ok(ObjectId::direct(id)));
    }
    if let Some(id) = ContentId::from_key(text.as_bytes()) {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    let quoted = serde_json::to_string(text).expect("a text is JSON");
    if let Ok(mode) = serde_json::from_str::<Mode>(&quoted) {
        assert!(mode.posix() <= 0o7777);
        let printed = serde_json::to_string(&mode).expect("a mode is a text");
        assert_eq!(serde_json::from_str::<Mode>(&printed).expect("what was printed is read"), mode);
    }
    let blob = BlobId::from(text);
    assert!(!blob.is_valid() || Path::new(text).file_name().is_some_and(|name| name == text));
    assert!(session_of(&blob).is_none_or(|session| session.starts_with('s') && !session.contains('-')));
    if let Ok(source) = SourceInfo::parse(text, "h", "u", Path::new("/")) {
        assert!(!source.to_string().is_empty());
    }
}

fn prints_as_read<T: FromStr + Display + Debug + PartialEq>(text: &str)
where
    T::Err: Debug,
{
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        let again = printed.parse::<T>();
        assert_eq!(again.expect("what was printed is read"), value, "{text:?} was printed as {printed:?}");
    }
}

fn check_index_names(names: &[BlobId], epochs: bool, compaction: Option<&[u8]>) {
    let storage = Arc::new(Memory::new(clock()));
    let mut known = BTreeSet::new();
    for name in names.iter().filter(|name| name.is_valid()) {
        storage.put_now(name, b"x").expect("memory takes every valid name");
        known.insert(name.clone());
    }
    let crypto = content_format().crypto;
    if let Some(log) = compaction {
        let (name, sealed) = crypto.seal(&entropy(), "m", "", log).expect("sealing works");
        storage.put_now(&name.into(), &sealed).expect("memory takes every valid name");
        storage.put_now(&"n00".into(), b"x").expect("memory takes every valid name");
        known.insert("n00".into());
    }
    let parameters = EpochParameters { enabled: epochs, ..EpochParameters::DEFAULT };
    let blobs =
        IndexBlobs::new(storage, crypto, EpochSettings::new(parameters), clock(), Arc::new(entropy()));
    let epoch = blobs.write_epoch().expect("memory never fails");
    assert_eq!(epoch.is_some(), epochs);
    assert!(epoch.is_none_or(|epoch| epoch >= 0));
    let Ok(active) = blobs.active() else { return };
    let listed: BTreeSet<_> = active.blobs.iter().map(|blob| blob.id.clone()).collect();
    assert_eq!(listed.len(), active.blobs.len(), "a blob counts once: {:?}", active.blobs);
    assert!(listed.is_subset(&known));
}

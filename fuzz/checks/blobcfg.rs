//! `kopia.blobcfg`, behind the encryption and as an envelope.

use super::support::{UNIQUE_ID, entropy, key};
use packhorse::format::{self, BlobConfig};

pub fn check(data: &[u8]) {
    assert!(BlobConfig::open(&key(), &UNIQUE_ID, data).is_err(), "nobody guesses 16 bytes of a tag");
    let sealed = format::seal(&entropy(), &key(), &UNIQUE_ID, "test", data).expect("sealing works");
    assert_eq!(sealed.len(), data.len() + format::ENVELOPE_OVERHEAD);
    let Ok(config) = BlobConfig::open(&key(), &UNIQUE_ID, &sealed) else { return };
    let again = config.seal(&entropy(), &key(), &UNIQUE_ID).expect("what was read is written");
    assert_eq!(BlobConfig::open(&key(), &UNIQUE_ID, &again).expect("what was written is read"), config);
    if config.validate().is_ok() {
        let both = !config.retention_mode.is_empty() && config.retention_period > 0;
        assert_eq!(config.is_retention_enabled(), both);
    }
    // One flipped bit anywhere is noticed.
    let at = data.first().map_or(0, |&byte| usize::from(byte)) % sealed.len();
    let mut damaged = sealed;
    damaged[at] ^= 1;
    assert!(BlobConfig::open(&key(), &UNIQUE_ID, &damaged).is_err());
}

//! Which key a host must show: lines of a `known_hosts` file.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use russh::keys::{PublicKey, parse_public_key_base64};

/// What the lines say of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the host's.
    Known,
    /// They name another one of its kind for this host, or revoke it.
    Other,
    /// They say nothing.
    Unknown,
}

/// The port that lines do not name.
const PORT: u16 = 22;

/// The keys of a host, and whether each is revoked.
pub(super) fn keys_of(lines: &str, host: &str, port: u16) -> Vec<(PublicKey, bool)> {
    let name = if port == PORT {
        host.to_ascii_lowercase()
    } else {
        format!("[{}]:{port}", host.to_ascii_lowercase())
    };
    let mut found = Vec::new();
    for line in lines.lines() {
        let mut words = line.split_ascii_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        // Authorities of hosts vouch for certificates, which are not asked for.
        if marker.is_some_and(|marker| marker != "@revoked") {
            continue;
        }
        let (Some(hosts), Some(_), Some(key)) = (words.next(), words.next(), words.next()) else { continue };
        if !hosts.starts_with('#')
            && names(hosts, &name)
            && let Ok(key) = parse_public_key_base64(key)
        {
            found.push((key, marker.is_some()));
        }
    }
    found
}

/// What the lines' keys say of the key that was shown.
pub(super) fn verdict(keys: &[(PublicKey, bool)], shown: &PublicKey) -> Verdict {
    let is = |key: &PublicKey| key.key_data() == shown.key_data();
    if keys.iter().any(|(key, is_revoked)| *is_revoked && is(key)) {
        return Verdict::Other;
    }
    if keys.iter().any(|(key, is_revoked)| !is_revoked && is(key)) {
        return Verdict::Known;
    }
    if keys.is_empty() { Verdict::Unknown } else { Verdict::Other }
}

/// Whether a list of hosts, plain or hashed, has this one. A host excluded by `!` is none of it.
fn names(hosts: &str, name: &str) -> bool {
    !hosts.split(',').any(|entry| entry.strip_prefix('!') == Some(name))
        && hosts.split(',').any(|entry| match entry.strip_prefix("|1|") {
            Some(hashed) => is_hash_of(hashed, name).unwrap_or(false),
            None => entry.eq_ignore_ascii_case(name),
        })
}

fn is_hash_of(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    Some(hmac::verify(&key, name.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

    fn of(lines: &str, host: &str, port: u16) -> Verdict {
        verdict(&keys_of(lines, host, port), &parse_public_key_base64(ONE).unwrap())
    }

    #[test]
    fn lines_vouch_for_their_hosts_only() {
        let lines = format!("# {ONE}\nhost,[other]:2222 ssh-ed25519 {ONE} me\r\nthird\tssh-ed25519\t{TWO}\n");
        assert_eq!(of(&lines, "Host", 22), Verdict::Known);
        assert_eq!(of(&lines, "other", 2222), Verdict::Known);
        assert_eq!(of(&lines, "other", 22), Verdict::Unknown);
        assert_eq!(of(&lines, "third", 22), Verdict::Other);
        assert_eq!(of("", "host", 22), Verdict::Unknown);
        assert_eq!(of(&format!("{lines}@revoked host ssh-ed25519 {ONE}"), "host", 22), Verdict::Other);
        assert_eq!(of(&format!("@cert-authority host ssh-ed25519 {ONE}"), "host", 22), Verdict::Unknown);
        assert_eq!(of(&format!("!host,host ssh-ed25519 {ONE}"), "host", 22), Verdict::Unknown);
    }

    #[test]
    fn hashed_hosts_are_found() {
        let line = format!("|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= ssh-ed25519 {ONE}");
        assert_eq!(of(&line, "example.com", 22), Verdict::Known);
        assert_eq!(of(&line, "example.org", 22), Verdict::Unknown);
        assert_eq!(of("|1|x|y ssh-ed25519 z", "example.org", 22), Verdict::Unknown);
    }
}

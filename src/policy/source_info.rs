//! Who and what a snapshot or policy is for.

use super::path::absolute;
use super::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// A source of snapshots or a target of policies: user, host, path. Empty parts widen it: no path is everything of the
/// user, no user either is everything of the host, nothing at all is everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceInfo {
    /// The host.
    pub host: String,
    /// The user.
    pub user_name: String,
    /// The absolute, clean path.
    pub path: String,
}

impl SourceInfo {
    /// A source from its parts.
    pub fn new(user_name: impl Into<String>, host: impl Into<String>, path: impl Into<String>) -> Self {
        Self { host: host.into(), user_name: user_name.into(), path: path.into() }
    }

    /// Whether it stands for everything.
    pub fn is_global(&self) -> bool {
        self.host.is_empty() && self.user_name.is_empty() && self.path.is_empty()
    }

    /// The same user and host with another path.
    #[must_use]
    pub fn with_path(&self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self.clone() }
    }

    /// Reads `(global)`, `@host`, `user@host`, `user@host:path`, or a local path, which becomes absolute against
    /// `current_dir` and belongs to `host` and `user_name`.
    ///
    /// A local path with `@` and without `:` is taken for a user: Kopia does so, and scripts rely on either.
    ///
    /// # Errors
    /// [`Error::NoHost`].
    ///
    /// Source: kopia `snapshot/source.go` (`ParseSourceInfo`).
    pub fn parse(text: &str, host: &str, user_name: &str, current_dir: &Path) -> Result<Self> {
        if text == "(global)" {
            return Ok(Self::default());
        }
        match (text.find('@'), text.find(':')) {
            (Some(at), Some(colon)) if at > 0 && at < colon => {
                Ok(Self::new(&text[..at], &text[at + 1..colon], &text[colon + 1..]))
            }
            (Some(at), None) if at + 1 < text.len() => Ok(Self::new(&text[..at], &text[at + 1..], "")),
            (Some(_), None) => Err(Error::NoHost { text: text.to_owned() }),
            _ => Ok(Self::new(user_name, host, absolute(text, current_dir))),
        }
    }
}

impl fmt::Display for SourceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_global() {
            f.write_str("(global)")
        } else if self.path.is_empty() {
            write!(f, "{}@{}", self.user_name, self.host)
        } else {
            write!(f, "{}@{}:{}", self.user_name, self.host, self.path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_as_kopia_does() {
        let parse = |text: &str| SourceInfo::parse(text, "lh", "lu", Path::new("/cwd/x"));
        for (text, user, host, path) in [
            ("(global)", "", "", ""),
            ("u@h:/some/path", "u", "h", "/some/path"),
            ("u@h:rel/../x", "u", "h", "rel/../x"),
            ("u@h:", "u", "h", ""),
            ("u@h", "u", "h", ""),
            ("@h", "", "h", ""),
            ("a@b@c", "a", "b@c", ""),
            ("@h:/path", "lu", "lh", "/cwd/x/@h:/path"),
            ("/a:b@c", "lu", "lh", "/a:b@c"),
            ("/data/./x//y/../z/", "lu", "lh", "/data/x/z"),
            ("rel", "lu", "lh", "/cwd/x/rel"),
            ("..", "lu", "lh", "/cwd"),
            ("../../../..", "lu", "lh", "/"),
            ("", "lu", "lh", "/cwd/x"),
            ("C:\\x", "lu", "lh", "/cwd/x/C:\\x"),
        ] {
            assert_eq!(parse(text).unwrap(), SourceInfo::new(user, host, path), "{text}");
        }
        assert!(parse("user@").is_err() && parse("@").is_err());
    }

    #[test]
    fn prints_as_kopia_does() {
        for (user, host, path, text) in
            [("", "", "", "(global)"), ("", "h", "", "@h"), ("u", "h", "", "u@h"), ("u", "h", "/p", "u@h:/p")]
        {
            assert_eq!(SourceInfo::new(user, host, path).to_string(), text);
        }
        let json = serde_json::to_string(&SourceInfo::new("u", "h", "/p")).unwrap();
        assert_eq!(json, r#"{"host":"h","userName":"u","path":"/p"}"#);
    }
}

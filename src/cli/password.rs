//! Where the repository's password comes from, and where it is kept.

use super::Result;
use super::context::Context;
use super::exit::{Explain, Failure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use packhorse::base::{Secret, file};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// A password file larger than this is something else.
const MAX_PASSWORD_FILE_BYTES: u64 = 64 << 10;

impl Context {
    /// The password for an existing connection: given, kept, or asked for.
    pub(crate) fn password_to_open(&self, config: &Path) -> Result<Secret> {
        if let Some(password) = self.given_password()? {
            return Ok(password);
        }
        if let Some(password) = load(config)? {
            return Ok(password);
        }
        ask("Password of the repository: ")
    }

    /// The password for a second connection: kept, given, or asked for. What is given may be that of the first.
    pub(crate) fn password_to_open_other(&self, config: &Path) -> Result<Secret> {
        match load(config)? {
            Some(password) => Ok(password),
            None => self.password_to_connect(),
        }
    }

    /// The password to connect with: given or asked for.
    pub(crate) fn password_to_connect(&self) -> Result<Secret> {
        self.given_password()?.map_or_else(|| ask("Password of the repository: "), Ok)
    }

    /// The password of a new repository: given, or asked for twice.
    pub(crate) fn password_to_create(&self) -> Result<Secret> {
        if let Some(password) = self.given_password()? {
            return Ok(password);
        }
        ask_twice("Password of the new repository: ")
    }

    /// The password to change to: of the flag, the variable, or asked for twice.
    pub(crate) fn new_password(&self, flag: Option<&str>) -> Result<Secret> {
        if let Some(password) = flag.and_then(trimmed) {
            return Ok(password);
        }
        let variable = self.environment().new_password.as_ref();
        if let Some(password) = variable.and_then(|text| trimmed(&String::from_utf8_lossy(text.expose()))) {
            return Ok(password);
        }
        ask_twice("New password of the repository: ")
    }

    /// Whether the password is to be kept after a connect.
    pub(crate) fn persists_password(&self) -> bool {
        self.globals().persist_credentials.or(self.environment().persist_credentials).unwrap_or(true)
    }

    /// Flag, file, then variable.
    fn given_password(&self) -> Result<Option<Secret>> {
        if let Some(password) = self.globals().password.as_deref().and_then(trimmed) {
            return Ok(Some(password));
        }
        if let Some(path) = &self.globals().password_file {
            return from_file(path).map(Some);
        }
        let variable = self.environment().password.as_ref();
        Ok(variable.and_then(|password| trimmed(&String::from_utf8_lossy(password.expose()))))
    }
}

/// White space around a password in a flag or a variable is no part of it; what is empty then is none.
fn trimmed(text: &str) -> Option<Secret> {
    Some(Secret::from(text.trim())).filter(|password| !password.is_empty())
}

/// A password file: its bytes without one line feed at the end.
fn from_file(path: &Path) -> Result<Secret> {
    let explain = || format!("cannot read the password file {}", path.display());
    let size = std::fs::metadata(path).explain(explain())?.len();
    if size > MAX_PASSWORD_FILE_BYTES {
        return Err(Failure::new(format!("the password file {} is too large", path.display())));
    }
    let mut bytes = std::fs::read(path).explain(explain())?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(Failure::new(format!("the password file {} is empty", path.display())));
    }
    Ok(Secret::new(bytes))
}

fn ask(prompt: &str) -> Result<Secret> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("no password was given, and there is no terminal to ask for one")
            .with_hint("set KOPIA_PASSWORD or give --password-file"));
    }
    let text = rpassword::prompt_password(prompt).explain("cannot read the password")?;
    Ok(Secret::new(text.into_bytes()))
}

fn ask_twice(prompt: &str) -> Result<Secret> {
    let first = ask(prompt)?;
    if first.is_empty() {
        return Err(Failure::new("an empty password is none"));
    }
    if first == ask("The same password again: ")? {
        Ok(first)
    } else {
        Err(Failure::new("the two passwords differ"))
    }
}

/// The file beside a connection file in which Kopia keeps the password.
fn kept_path(config: &Path) -> PathBuf {
    let mut path = config.as_os_str().to_owned();
    path.push(".kopia-password");
    path.into()
}

/// The kept password, if there is one.
fn load(config: &Path) -> Result<Option<Secret>> {
    let path = kept_path(config);
    let text = match std::fs::read(&path) {
        Ok(text) => Secret::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).explain(format_args!("cannot read {}", path.display())),
    };
    let decoded = STANDARD
        .decode(text.expose().trim_ascii())
        .map_err(|_| Failure::new(format!("{} does not hold a password", path.display())))?;
    Ok(Some(Secret::new(decoded)))
}

/// Keeps a password beside its connection file.
pub(crate) fn keep(config: &Path, password: &Secret) -> Result<()> {
    let text = Secret::new(STANDARD.encode(password.expose()).into_bytes());
    let path = kept_path(config);
    file::replace(&path, text.expose(), 0o600)
        .explain(format_args!("cannot keep the password in {}", path.display()))
}

/// Removes a kept password.
pub(crate) fn forget(config: &Path) -> Result<()> {
    super::repository::remove_if_there(&kept_path(config))
}

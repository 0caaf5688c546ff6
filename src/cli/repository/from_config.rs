//! A store described by a connection file or by a token, as `repository status --reconnect-token` prints it.

use super::Target;
use crate::cli::Result;
use crate::cli::exit::{Explain, Failure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use packhorse::base::{Secret, gojson};
use packhorse::blob::ConnectionInfo;
use packhorse::repo::ConnectionFile;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The only version of tokens there is.
const VERSION: &str = "1";
/// Anything longer is something else.
const TOKEN_BYTES_MAX: u64 = 1 << 20;
const INVALID: &str = "invalid token";

/// Flags of the provider, the first one given counts.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Connection file to take the store from (only to connect).
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Token; it is visible in process listings, unlike with the other flags.
    #[arg(long)]
    token: Option<String>,
    /// File that holds a token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Read a token from standard input.
    #[arg(long)]
    token_stdin: bool,
}

impl Args {
    /// What is described. A new repository is never made where a connection file leads to.
    pub(super) fn target(&self, creates: bool) -> Result<Target> {
        if let Some(path) = self.file.as_deref().filter(|_| !creates) {
            return of_file(path);
        }
        if let Some(token) = &self.token {
            return Token::decode(token.as_bytes());
        }
        if let Some(path) = &self.token_file {
            let explain = || format!("cannot read the token file {}", path.display());
            let file = std::fs::File::open(path).explain(explain())?;
            return Token::decode(read(file).explain(explain())?.expose());
        }
        if self.token_stdin {
            let token = read(std::io::stdin().lock()).explain("cannot read a token from standard input")?;
            return Token::decode(token.expose());
        }
        let file = if creates { "" } else { "--file, " };
        Err(Failure::usage(format!("one of {file}--token-file, --token-stdin or --token must be given")))
    }
}

fn read(source: impl Read) -> std::io::Result<Secret> {
    let mut bytes = Vec::new();
    source.take(TOKEN_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Secret::new(bytes))
}

fn of_file(path: &Path) -> Result<Target> {
    let unusable = || format!("cannot use the connection file {}", path.display());
    // Not the connection of this command: its absence is nothing but a missing file.
    std::fs::metadata(path).explain(unusable())?;
    let connection = ConnectionFile::load(path).explain(unusable())?;
    let info = connection.store(path).explain(unusable())?.clone();
    Ok(Target { info, password: None })
}

/// What a token holds: the way to the storage, and perhaps the password, in clear.
#[derive(Serialize, Deserialize)]
pub(super) struct Token {
    version: String,
    storage: ConnectionInfo,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    password: String,
}

impl Token {
    /// The token for a store.
    pub(super) fn new(storage: &ConnectionInfo, password: Option<&Secret>) -> Self {
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let password = password.map(text).unwrap_or_default();
        Self { version: VERSION.to_owned(), storage: storage.clone(), password }
    }

    /// Its text.
    pub(super) fn encode(&self) -> Result<String> {
        let json =
            gojson::to_vec(self).map_err(|error| Failure::new(format!("cannot print a token: {error}")))?;
        Ok(URL_SAFE_NO_PAD.encode(json))
    }

    /// Reads the text. Nothing of it goes into an error.
    fn decode(text: &[u8]) -> Result<Target> {
        let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let json = URL_SAFE_NO_PAD.decode(text).map(Secret::new).map_err(|_| Failure::new(INVALID))?;
        let token: Self = serde_json::from_slice(json.expose()).map_err(|_| Failure::new(INVALID))?;
        if token.version != VERSION {
            return Err(Failure::new("the token is of a version that is not supported"));
        }
        let password = Some(Secret::new(token.password.into_bytes())).filter(|secret| !secret.is_empty());
        Ok(Target { info: token.storage, password })
    }
}

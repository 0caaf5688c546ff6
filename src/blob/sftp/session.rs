//! Connections: by our own client, or over the pipes of a program.

use super::SftpOptions;
use super::known_hosts::{self, Verdict};
use crate::blob::remote::{Cause, Timeouts, of_connection};
use parking_lot::Mutex;
use russh::client::{self, AuthResult, Handle};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh_sftp::client::rawsession::RawSftpSession;
use std::borrow::Cow;
use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// How often a connection without traffic is tested.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// An open session, with what keeps it open.
pub(super) struct Session {
    pub(super) sftp: RawSftpSession,
    _carrier: Carrier,
}

enum Carrier {
    Own { _handle: Handle<Host> },
    Program(Child),
}

/// The program ends with the session.
impl Drop for Carrier {
    fn drop(&mut self) {
        if let Self::Program(child) = self
            && child.kill().and_then(|()| child.wait()).is_err()
        {
            tracing::debug!("the ssh program cannot be ended");
        }
    }
}

/// Opens a session.
pub(super) async fn open(options: &SftpOptions, timeouts: &Timeouts) -> Result<Session, Cause> {
    let host = format!("{}:{}", options.host, options.port);
    let seconds = timeouts.connect.as_secs();
    let limit = timeouts.connect * 2;
    let opening = async {
        if options.external_ssh {
            by_program(options, timeouts).await
        } else {
            by_ourselves(options, &host, timeouts).await
        }
    };
    tokio::time::timeout(limit, opening)
        .await
        .unwrap_or(Err(Cause::ConnectTimeout { host: host.clone(), seconds }))
}

async fn by_program(options: &SftpOptions, timeouts: &Timeouts) -> Result<Session, Cause> {
    let program = if options.ssh_command.is_empty() { "ssh" } else { &options.ssh_command };
    let failed = |error: std::io::Error| Cause::NoProgram {
        program: program.to_owned(),
        detail: error.kind().to_string(),
    };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let also_theirs = theirs.try_clone().map_err(failed)?;
    let arguments = options.ssh_arguments.split(' ').filter(|argument| !argument.is_empty());
    let child = Command::new(program)
        .args(arguments)
        .arg(format!("{}@{}", options.username, options.host))
        .args(["-s", "sftp"])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(OwnedFd::from(also_theirs)))
        .spawn()
        .map_err(failed)?;
    let carrier = Carrier::Program(child);
    ours.set_nonblocking(true).map_err(failed)?;
    let stream = tokio::net::UnixStream::from_std(ours).map_err(failed)?;
    let sftp = RawSftpSession::new(stream);
    start(sftp, carrier, timeouts).await.map_err(|_| Cause::ProgramFailed {
        program: program.to_owned(),
        detail: "see what it printed".to_owned(),
    })
}

async fn start(sftp: RawSftpSession, carrier: Carrier, timeouts: &Timeouts) -> Result<Session, Cause> {
    sftp.set_timeout(timeouts.first_byte.as_secs().max(1));
    sftp.init().await.map_err(|_| Cause::NotUnderstood { status: 0 })?;
    Ok(Session { sftp, _carrier: carrier })
}

async fn by_ourselves(options: &SftpOptions, host: &str, timeouts: &Timeouts) -> Result<Session, Cause> {
    let keys = known_hosts::keys_of(&known_lines(options)?, &options.host, options.port);
    let mut config =
        client::Config { keepalive_interval: Some(KEEPALIVE), nodelay: true, ..client::Config::default() };
    // A host has several keys; it must show one of those that are known.
    let known: Vec<Algorithm> = keys.iter().map(|(key, _)| key.algorithm()).collect();
    if !known.is_empty() {
        let wanted =
            config.preferred.key.iter().filter(|kind| known.iter().any(|key| is_same_kind(key, kind)));
        config.preferred.key = Cow::Owned(wanted.cloned().collect());
    }
    let seen = Arc::new(Mutex::new(None));
    let handler = Host { name: host.to_owned(), keys, refusal: Arc::clone(&seen) };
    let address = (options.host.as_str(), options.port);
    let addresses =
        address.to_socket_addrs().map_err(|_| Cause::HostUnknown { host: options.host.clone() })?;
    let addresses: Vec<_> = addresses.collect();
    let mut handle = client::connect(Arc::new(config), addresses.as_slice(), handler)
        .await
        .map_err(|error| seen.lock().take().unwrap_or_else(|| connection_cause(&error, host, timeouts)))?;
    log_in(&mut handle, options, host, timeouts).await?;
    let broken = |error: russh::Error| connection_cause(&error, host, timeouts);
    let channel = handle.channel_open_session().await.map_err(broken)?;
    channel.request_subsystem(true, "sftp").await.map_err(broken)?;
    let sftp = RawSftpSession::new(channel.into_stream());
    start(sftp, Carrier::Own { _handle: handle }, timeouts).await
}

fn is_same_kind(known: &Algorithm, offered: &Algorithm) -> bool {
    known == offered || matches!((known, offered), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

fn connection_cause(error: &russh::Error, host: &str, timeouts: &Timeouts) -> Cause {
    match error {
        russh::Error::IO(_) => of_connection(error, host, false, timeouts.connect.as_secs()),
        russh::Error::NoCommonAlgo { .. } => {
            Cause::Handshake { host: host.to_owned(), detail: "no algorithm in common".to_owned() }
        }
        _ => Cause::Reset,
    }
}

fn known_lines(options: &SftpOptions) -> Result<String, Cause> {
    if !options.known_hosts_data.is_empty() {
        return Ok(options.known_hosts_data.clone());
    }
    if options.known_hosts_file.is_empty() {
        let detail = "no known hosts are given: use --known-hosts or --known-hosts-data".to_owned();
        return Err(Cause::Misconfigured { detail });
    }
    read(&options.known_hosts_file)
}

fn read(path: &str) -> Result<String, Cause> {
    std::fs::read_to_string(path)
        .map_err(|error| Cause::Misconfigured { detail: format!("cannot read {path}: {}", error.kind()) })
}

async fn log_in(
    handle: &mut Handle<Host>,
    options: &SftpOptions,
    host: &str,
    timeouts: &Timeouts,
) -> Result<(), Cause> {
    let broken = |error: russh::Error| connection_cause(&error, host, timeouts);
    let outcome = if options.password.is_empty() {
        let text =
            if options.key_data.is_empty() { read(&options.keyfile)? } else { options.key_data.clone() };
        let key = russh::keys::decode_secret_key(&text, None).map_err(|_| Cause::Misconfigured {
            detail: "the private key cannot be read: it must be an OpenSSH or PEM key without a passphrase"
                .to_owned(),
        })?;
        let hash = handle.best_supported_rsa_hash().await.map_err(broken)?.flatten();
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        handle.authenticate_publickey(&options.username, key).await
    } else {
        handle.authenticate_password(&options.username, &options.password).await
    };
    match outcome.map_err(broken)? {
        AuthResult::Success => Ok(()),
        AuthResult::Failure { .. } => Err(Cause::LoginRefused { user: options.username.clone() }),
    }
}

/// Judges the key that the host shows.
struct Host {
    name: String,
    keys: Vec<(PublicKey, bool)>,
    refusal: Arc<Mutex<Option<Cause>>>,
}

impl client::Handler for Host {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let (host, fingerprint) = (self.name.clone(), key.fingerprint(HashAlg::Sha256).to_string());
        let refusal = match known_hosts::verdict(&self.keys, key) {
            Verdict::Known => return Ok(true),
            Verdict::Other => Cause::HostKeyChanged { host, fingerprint },
            Verdict::Unknown => Cause::HostKeyUnknown { host, fingerprint },
        };
        *self.refusal.lock() = Some(refusal);
        Ok(false)
    }
}

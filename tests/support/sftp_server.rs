//! An SFTP server over the folders of this machine, just large enough for a repository.

use russh::keys::{Algorithm, PrivateKey};
use russh::server::{Auth, Msg, Session};
use russh::{Channel, ChannelId};
use russh_sftp::protocol::{
    Attrs, Data, File as Item, FileAttributes, Handle, Name, OpenFlags, Packet, Status, StatusCode, Version,
};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::net::TcpListener;

/// Runs until the process ends. The user is `u`, the password `p`.
pub(crate) struct SftpServer {
    /// Where it listens.
    pub(crate) port: u16,
    /// What a file of known hosts says of it.
    pub(crate) known_hosts: String,
}

impl SftpServer {
    /// Serves the whole machine; no answer to a read has more than `read_bytes_max`.
    pub(crate) fn start(read_bytes_max: usize) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        let known_hosts = format!("[127.0.0.1]:{port} {}", key.public_key().to_openssh().unwrap());
        let config = russh::server::Config {
            keys: vec![key],
            auth_rejection_time: Duration::from_millis(1),
            ..russh::server::Config::default()
        };
        let config = Arc::new(config);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let config = Arc::clone(&config);
                    tokio::spawn(async move {
                        if let Ok(session) = russh::server::run_stream(
                            config,
                            stream,
                            Ssh { read_bytes_max, channels: HashMap::new() },
                        )
                        .await
                        {
                            session.await.ok();
                        }
                    });
                }
            });
        });
        Self { port, known_hosts }
    }
}

struct Ssh {
    read_bytes_max: usize,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl russh::server::Handler for Ssh {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(if (user, password) == ("u", "p") { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: russh::server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(id)?;
        let files = Files { read_bytes_max: self.read_bytes_max, ..Files::default() };
        russh_sftp::server::run(self.channels.remove(&id).unwrap().into_stream(), files).await;
        Ok(())
    }
}

#[derive(Default)]
struct Files {
    read_bytes_max: usize,
    open: HashMap<String, Open>,
    count: u64,
}

enum Open {
    File(File),
    Folder(Vec<Item>),
}

fn code(error: &io::Error) -> StatusCode {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => StatusCode::NoSuchFile,
        ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
        ErrorKind::UnexpectedEof => StatusCode::Eof,
        _ => StatusCode::Failure,
    }
}

fn done(id: u32, outcome: io::Result<()>) -> Result<Status, StatusCode> {
    outcome.map_err(|error| code(&error))?;
    Ok(Status { id, status_code: StatusCode::Ok, error_message: "Ok".into(), language_tag: "en".into() })
}

fn found(id: u32, path: &str) -> Result<Attrs, StatusCode> {
    let metadata = fs::metadata(path).map_err(|error| code(&error))?;
    Ok(Attrs { id, attrs: FileAttributes::from(&metadata) })
}

impl Files {
    fn keep(&mut self, id: u32, open: Open) -> Handle {
        self.count += 1;
        let handle = self.count.to_string();
        self.open.insert(handle.clone(), open);
        Handle { id, handle }
    }

    fn file(&self, handle: &str) -> Result<&File, StatusCode> {
        match self.open.get(handle) {
            Some(Open::File(file)) => Ok(file),
            _ => Err(StatusCode::Failure),
        }
    }
}

impl russh_sftp::server::Handler for Files {
    type Error = StatusCode;

    fn unimplemented(&self) -> StatusCode {
        StatusCode::OpUnsupported
    }

    async fn init(&mut self, _: u32, _: HashMap<String, String>) -> Result<Version, StatusCode> {
        let mut version = Version::new();
        version.extensions.insert("posix-rename@openssh.com".into(), "1".into());
        Ok(version)
    }

    async fn open(
        &mut self,
        id: u32,
        path: String,
        flags: OpenFlags,
        _: FileAttributes,
    ) -> Result<Handle, StatusCode> {
        let mut options = OpenOptions::new();
        options.read(true).write(flags.contains(OpenFlags::WRITE));
        options.create_new(flags.contains(OpenFlags::EXCLUDE)).create(flags.contains(OpenFlags::CREATE));
        let file = options.open(path).map_err(|error| code(&error))?;
        Ok(self.keep(id, Open::File(file)))
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, StatusCode> {
        self.open.remove(&handle).ok_or(StatusCode::Failure)?;
        done(id, Ok(()))
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, length: u32) -> Result<Data, StatusCode> {
        // Fewer at a time than asked for, as servers may.
        let mut data = vec![0; (length as usize).min(self.read_bytes_max)];
        let got = self.file(&handle)?.read_at(&mut data, offset).map_err(|error| code(&error))?;
        data.truncate(got);
        if got == 0 { Err(StatusCode::Eof) } else { Ok(Data { id, data }) }
    }

    async fn write(
        &mut self,
        id: u32,
        handle: String,
        offset: u64,
        data: Vec<u8>,
    ) -> Result<Status, StatusCode> {
        done(id, self.file(&handle)?.write_all_at(&data, offset))
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, StatusCode> {
        let metadata = self.file(&handle)?.metadata().map_err(|error| code(&error))?;
        Ok(Attrs { id, attrs: FileAttributes::from(&metadata) })
    }

    async fn fsetstat(
        &mut self,
        id: u32,
        handle: String,
        attrs: FileAttributes,
    ) -> Result<Status, StatusCode> {
        let time = UNIX_EPOCH + Duration::from_secs(attrs.mtime.unwrap().into());
        done(id, self.file(&handle)?.set_modified(time))
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, StatusCode> {
        found(id, &path)
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, StatusCode> {
        found(id, &path)
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, StatusCode> {
        let entries = fs::read_dir(path).map_err(|error| code(&error))?.filter_map(Result::ok);
        let items = entries.filter_map(|entry| {
            let metadata = fs::metadata(entry.path()).ok()?;
            Some(Item::new(entry.file_name().to_str()?, FileAttributes::from(&metadata)))
        });
        let items = items.collect();
        Ok(self.keep(id, Open::Folder(items)))
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, StatusCode> {
        match self.open.get_mut(&handle) {
            Some(Open::Folder(items)) if !items.is_empty() => {
                let rest = items.split_off(items.len().min(100));
                Ok(Name { id, files: std::mem::replace(items, rest) })
            }
            _ => Err(StatusCode::Eof),
        }
    }

    async fn remove(&mut self, id: u32, path: String) -> Result<Status, StatusCode> {
        done(id, fs::remove_file(path))
    }

    async fn mkdir(&mut self, id: u32, path: String, _: FileAttributes) -> Result<Status, StatusCode> {
        done(id, fs::create_dir(path))
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, StatusCode> {
        Ok(Name { id, files: vec![Item::dummy(path)] })
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Result<Packet, StatusCode> {
        if request != "posix-rename@openssh.com" {
            return Err(StatusCode::OpUnsupported);
        }
        let length = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
        let (from, to) = (&data[4..4 + length], &data[8 + length..]);
        let (from, to) = (std::str::from_utf8(from).unwrap(), std::str::from_utf8(to).unwrap());
        done(id, fs::rename(from, to)).map(Packet::Status)
    }
}

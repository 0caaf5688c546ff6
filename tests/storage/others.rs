//! Stores of files on other machines: the contract, Kopia's folders, and what failures mean.

use super::{LONG, clock, conformance, id, names};
use crate::support::cloud_server::CloudServer;
use crate::support::dav_server::DavServer;
use crate::support::sftp_server::SftpServer;
use packhorse::base::ErrorClass;
use packhorse::blob::{
    self, AzureOptions, ConnectionInfo, Filesystem, FilesystemOptions, GcsOptions, OpenMode, SftpOptions,
    Storage, StorageExt, WebDavOptions,
};
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn dav(url: String, atomic_writes: bool) -> ConnectionInfo {
    let options = WebDavOptions {
        url,
        username: "u".into(),
        password: "p".into(),
        atomic_writes,
        ..WebDavOptions::default()
    };
    ConnectionInfo::of("webdav", &options).unwrap()
}

fn opened(info: &ConnectionInfo, mode: OpenMode) -> Arc<dyn Storage> {
    blob::open(info, mode, clock()).unwrap()
}

fn as_folder(path: &Path) -> Filesystem {
    Filesystem::open(FilesystemOptions::new(path), clock()).unwrap()
}

/// Nothing that is half written, and the layout.
fn only_blobs(path: &Path) -> bool {
    let files = walkdir::WalkDir::new(path).into_iter().map(Result::unwrap);
    files.filter(|entry| entry.file_type().is_file()).all(|entry| {
        let name = entry.file_name().to_str().unwrap();
        name == ".shards" || name.strip_suffix(".f").is_some()
    })
}

#[test]
fn webdav_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let server = DavServer::start(folder.path());
    let count = RefCell::new(0);
    for atomic_writes in [false, true] {
        conformance(&|| {
            *count.borrow_mut() += 1;
            let url = format!("{}/above/{}", server.url, count.borrow());
            opened(&dav(url, atomic_writes), OpenMode::Create)
        });
    }
    assert!(only_blobs(folder.path()));
}

#[test]
fn a_folder_and_webdav_are_one_repository() {
    let folder = tempfile::tempdir().unwrap();
    let local = Filesystem::create(FilesystemOptions::new(folder.path()), clock()).unwrap();
    local.put_now(&id(LONG), b"from here").unwrap();
    let server = DavServer::start(folder.path());
    let remote = opened(&dav(server.url.clone(), false), OpenMode::Connect);
    assert_eq!(remote.get(&id(LONG), None).unwrap(), b"from here");
    remote.put_now(&id("q0123456789abcdef0123456789abcdef-s1"), b"from there").unwrap();
    remote.put_now(&id("kopia.repository"), b"short").unwrap();
    let all = names(&as_folder(folder.path()), "");
    assert_eq!(all.len(), 3);
    assert_eq!(names(&*remote, ""), all);
    assert!(folder.path().join("q/012/3456789abcdef0123456789abcdef-s1.f").is_file());
    assert!(only_blobs(folder.path()));
}

#[test]
fn failures_of_webdav_have_their_classes() {
    let folder = tempfile::tempdir().unwrap();
    let server = DavServer::start(folder.path());
    let missing = blob::open(&dav(format!("{}/nowhere", server.url), false), OpenMode::Connect, clock());
    assert_eq!(missing.unwrap_err().class(), ErrorClass::NoRepository);
    assert!(!folder.path().join("nowhere").exists());
    let store = opened(&dav(server.url.clone(), false), OpenMode::Connect);
    store.put_now(&id(LONG), b"bytes").unwrap();
    for (status, class) in [
        (401, ErrorClass::Denied),
        (403, ErrorClass::Denied),
        (507, ErrorClass::Full),
        (501, ErrorClass::Unsupported),
        (302, ErrorClass::Other),
    ] {
        server.status.store(status, Ordering::Relaxed);
        for error in [store.get(&id(LONG), None).unwrap_err(), store.put_now(&id(LONG), b"x").unwrap_err()] {
            assert_eq!(error.class(), class, "{status}: {error}");
        }
    }
    server.status.store(0, Ordering::Relaxed);
    assert_eq!(store.get(&id(LONG), None).unwrap(), b"bytes");
    std::fs::remove_dir_all(folder.path()).unwrap();
    for error in [store.get(&id(LONG), None).unwrap_err(), store.list_all("").unwrap_err()] {
        assert_eq!(error.class(), ErrorClass::NoRepository, "a server without the folder is no empty store");
    }
    assert_eq!(store.put_now(&id(LONG), b"x").unwrap_err().class(), ErrorClass::NoRepository);
    let nobody = dav("http://127.0.0.1:1/dav".into(), false);
    assert_eq!(blob::open(&nobody, OpenMode::Connect, clock()).unwrap_err().class(), ErrorClass::Unavailable);
}

fn sftp(server: &SftpServer, path: &Path) -> SftpOptions {
    SftpOptions {
        path: path.to_str().unwrap().to_owned(),
        host: "127.0.0.1".into(),
        port: server.port,
        username: "u".into(),
        password: "p".into(),
        known_hosts_data: server.known_hosts.clone(),
        ..SftpOptions::default()
    }
}

fn sftp_store(options: &SftpOptions, mode: OpenMode) -> blob::Result<Arc<dyn Storage>> {
    blob::open(&ConnectionInfo::of("sftp", options).unwrap(), mode, clock())
}

#[test]
fn sftp_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let server = SftpServer::start(20_000);
    let count = RefCell::new(0);
    conformance(&|| {
        *count.borrow_mut() += 1;
        let path = folder.path().join(format!("above/{}", count.borrow()));
        sftp_store(&sftp(&server, &path), OpenMode::Create).unwrap()
    });
    assert!(only_blobs(folder.path()));
}

#[test]
fn a_folder_and_sftp_are_one_repository() {
    let folder = tempfile::tempdir().unwrap();
    let local = Filesystem::create(FilesystemOptions::new(folder.path()), clock()).unwrap();
    local.put_now(&id(LONG), b"from here").unwrap();
    let server = SftpServer::start(20_000);
    let remote = sftp_store(&sftp(&server, folder.path()), OpenMode::Connect).unwrap();
    assert_eq!(remote.get(&id(LONG), None).unwrap(), b"from here");
    remote.put_now(&id("q0123456789abcdef0123456789abcdef-s1"), b"from there").unwrap();
    assert_eq!(names(&as_folder(folder.path()), ""), names(&*remote, ""));
    assert!(folder.path().join("q/012/3456789abcdef0123456789abcdef-s1.f").is_file());
}

#[test]
fn a_host_is_known_or_nothing_is_said_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (server, other) = (SftpServer::start(20_000), SftpServer::start(20_000));
    let good = sftp(&server, folder.path());
    let refused = |options: &SftpOptions| {
        let error = sftp_store(options, OpenMode::Connect).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Denied, "{error}");
        crate::support::chain(&error)
    };
    let stranger = SftpOptions { known_hosts_data: other.known_hosts.clone(), ..good.clone() };
    let told = refused(&stranger);
    assert!(told.contains("is not known") && told.contains("SHA256:"), "{told}");
    let key = other.known_hosts.split_once(' ').unwrap().1;
    let changed = format!("[127.0.0.1]:{} {key}", server.port);
    let told = refused(&SftpOptions { known_hosts_data: changed, ..good.clone() });
    assert!(told.contains("not the one that is known"), "{told}");
    let told = refused(&SftpOptions { password: "HUSH".into(), ..good.clone() });
    assert!(told.contains("login") && !told.contains("HUSH"), "{told}");
    let missing = SftpOptions { path: "/nowhere/at/all".into(), ..good };
    let error = sftp_store(&missing, OpenMode::Connect).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NoRepository);
}

#[test]
fn a_program_can_make_the_connection() {
    let options = SftpOptions {
        path: "/r".into(),
        host: "h".into(),
        username: "u".into(),
        external_ssh: true,
        ssh_command: "/nowhere/ssh".into(),
        ..SftpOptions::default()
    };
    let error = sftp_store(&options, OpenMode::Connect).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Invalid);
    assert!(crate::support::chain(&error).contains("/nowhere/ssh"));
    let silent = SftpOptions { ssh_command: "true".into(), ..options };
    let error = sftp_store(&silent, OpenMode::Connect).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Other, "{error}");
}

fn azure(server: &CloudServer, prefix: &str) -> ConnectionInfo {
    let options = AzureOptions {
        container: "c".into(),
        prefix: prefix.into(),
        storage_account: "account".into(),
        storage_key: "SFVTSEhVU0g=".into(),
        endpoint: server.url.clone(),
        ..AzureOptions::default()
    };
    ConnectionInfo::of("azureBlob", &options).unwrap()
}

fn gcs(server: &CloudServer, prefix: &str) -> ConnectionInfo {
    let options = GcsOptions {
        bucket: "c".into(),
        prefix: prefix.into(),
        endpoint: server.url.clone(),
        ..GcsOptions::default()
    };
    ConnectionInfo::of("gcs", &options).unwrap()
}

#[test]
fn azure_and_google_conform() {
    for info in [azure, gcs] {
        let server = CloudServer::start();
        let count = RefCell::new(0);
        conformance(&|| {
            *count.borrow_mut() += 1;
            opened(&info(&server, &format!("{}/backup-", count.borrow())), OpenMode::Create)
        });
        let names: Vec<String> = server.objects.lock().unwrap().keys().cloned().collect();
        assert!(names.iter().all(|name| name.contains("/backup-")), "{names:?}");
    }
}

#[test]
fn failures_of_azure_and_google_have_their_classes() {
    for info in [azure, gcs] {
        let server = CloudServer::start();
        let store = opened(&info(&server, ""), OpenMode::Connect);
        store.put_now(&id(LONG), b"bytes").unwrap();
        for (status, class) in [(401, ErrorClass::Denied), (403, ErrorClass::Denied), (507, ErrorClass::Full)]
        {
            server.status.store(status, Ordering::Relaxed);
            let listed = store.list_all("").unwrap_err();
            for error in
                [store.get(&id(LONG), None).unwrap_err(), store.put_now(&id(LONG), b"x").unwrap_err(), listed]
            {
                let told = crate::support::chain(&error);
                assert!(error.class() == class && !told.contains("HUSH"), "{status}: {told}");
            }
        }
        server.status.store(0, Ordering::Relaxed);
        assert_eq!(store.get(&id(LONG), None).unwrap(), b"bytes");
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let server = CloudServer::start();
    for (kind, config, part) in [
        ("gdrive", serde_json::json!({}), "Google Drive"),
        ("b2", serde_json::json!({"bucket": "b", "keyID": "i", "key": "HUSH"}), "backblazeb2.com"),
        ("rclone", serde_json::json!({"remotePath": "r:p"}), "webdav"),
        ("gcs", serde_json::json!({"bucket": "c", "pointInTime": "2024-01-01T00:00:00Z"}), "pointInTime"),
        (
            "azureBlob",
            serde_json::json!({"container": "c", "storageAccount": "a", "ClientSecret": "HUSH", "endpoint": server.url}),
            "ClientSecret",
        ),
    ] {
        let error = blob::open(&ConnectionInfo { kind: kind.into(), config }, OpenMode::Connect, clock())
            .unwrap_err();
        let told = crate::support::chain(&error);
        assert!(told.contains(part) && !told.contains("HUSH"), "{told}");
        assert!(matches!(error.class(), ErrorClass::Unsupported | ErrorClass::Invalid), "{told}");
    }
}

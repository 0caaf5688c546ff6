//! Stores of files on other machines: the contract, Kopia's folders, and what failures mean.

use super::{LONG, clock, conformance, id, names};
use crate::support::dav_server::DavServer;
use packhorse::base::ErrorClass;
use packhorse::blob::{
    self, ConnectionInfo, Filesystem, FilesystemOptions, OpenMode, Storage, StorageExt, WebDavOptions,
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
        name == ".shards" || name.ends_with(".f")
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

//! Reading extended attributes of what is open, or of a member by its name: never through a link.

use super::directory::entry_error;
use super::{Directory, Entry, Error, Result, Xattrs};
use crate::base::gojson;
use parking_lot::RwLock;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::AsRawFd;

/// Holds most lists of names, and most values.
const USUAL_BYTES: usize = 1024;

/// Reads extended attributes, and asks only once where there are none.
#[derive(Debug, Default)]
pub struct XattrReader {
    /// Devices whose file systems have none.
    without: RwLock<Vec<u64>>,
}

/// What could be read.
#[derive(Debug, Default)]
pub struct FoundXattrs {
    /// All, or some if there is a failure.
    pub xattrs: Xattrs,
    /// The first that happened.
    pub failure: Option<Error>,
}

/// What they are read of, or set on.
#[derive(Debug)]
pub enum XattrPlace<'a> {
    /// A file or directory that is open.
    Open(BorrowedFd<'a>),
    /// What lies there; a link itself if the path ends in one.
    Path(CString),
    /// What a handle is of that is not open for reading or writing (`O_PATH`), by its path below `/proc`.
    Handle(CString),
}

impl XattrReader {
    /// Those of a file or directory that is open; `entry` is what stat said of it.
    pub fn of_open(&self, file: impl AsFd, entry: &Entry) -> FoundXattrs {
        self.read(entry, || Ok(XattrPlace::Open(file.as_fd())))
    }

    /// Those of a member of a directory, which is not opened: a link, a device, a file that need not be read.
    pub fn of_member(&self, directory: &Directory, entry: &Entry) -> FoundXattrs {
        self.read(entry, || {
            // There is no call that takes a directory and a name but in the newest kernels. A path through a descriptor
            // does not leave the directory: all of it but the last name is resolved by the kernel from what is open.
            let mut path = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).into_bytes();
            path.extend_from_slice(&entry.name);
            CString::new(path).map(XattrPlace::Path).map_err(|_| Errno::INVAL)
        })
    }

    fn read<'a>(&self, entry: &Entry, place: impl FnOnce() -> Result<XattrPlace<'a>, Errno>) -> FoundXattrs {
        if self.without.read().contains(&entry.device) {
            return FoundXattrs::default();
        }
        match place().and_then(|place| Ok((place.names()?, place))) {
            Ok((names, place)) => place.values(&names),
            Err(Errno::NOTSUP) => {
                self.without.write().push(entry.device);
                FoundXattrs::default()
            }
            Err(errno) => {
                let failure = entry_error("list the extended attributes of", &entry.name, errno);
                FoundXattrs { failure: Some(failure), ..FoundXattrs::default() }
            }
        }
    }
}

impl XattrPlace<'_> {
    /// By a handle.
    pub fn of_handle(handle: impl AsFd) -> Self {
        let path = format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd());
        Self::Handle(CString::new(path).expect("a number has no zero byte"))
    }

    /// All that is there; none where there can be none.
    ///
    /// # Errors
    /// What the system says of it as a whole.
    pub fn read(&self) -> Result<FoundXattrs, Errno> {
        match self.names() {
            Ok(names) => Ok(self.values(&names)),
            Err(Errno::NOTSUP) => Ok(FoundXattrs::default()),
            Err(errno) => Err(errno),
        }
    }

    fn values(&self, names: &[u8]) -> FoundXattrs {
        let mut found = FoundXattrs::default();
        let names =
            names.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok());
        for name in names {
            let added = self.value(name).and_then(|value| match value {
                Some(value) if !found.xattrs.insert(name.to_bytes(), &value) => Err(Errno::TOOBIG),
                _ => Ok(()),
            });
            if let Err(errno) = added {
                let xattr = gojson::lossy(name.to_bytes()).into_owned();
                found.failure.get_or_insert(Error::Xattr { xattr, source: errno.into() });
            }
        }
        found
    }

    /// All names, each with a zero behind it.
    fn names(&self) -> Result<Vec<u8>, Errno> {
        whole(|buffer| match self {
            Self::Open(file) => rustix::fs::flistxattr(file, buffer),
            Self::Path(path) => rustix::fs::llistxattr(path, buffer),
            Self::Handle(path) => rustix::fs::listxattr(path, buffer),
        })
    }

    /// `None` for one that is gone by now.
    fn value(&self, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
        let value = whole(|buffer| match self {
            Self::Open(file) => rustix::fs::fgetxattr(file, name, buffer),
            Self::Path(path) => rustix::fs::lgetxattr(path, name, buffer),
            Self::Handle(path) => rustix::fs::getxattr(path, name, buffer),
        });
        match value {
            Ok(value) => Ok(Some(value)),
            Err(Errno::NODATA) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

/// What a call that fills a buffer gives, however long it is; neither names nor a value are longer than the second try.
fn whole(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut usual = [0; USUAL_BYTES];
    match call(&mut usual) {
        Err(Errno::RANGE) => {
            let mut long = vec![0; Xattrs::VALUE_BYTES_MAX];
            let length = call(&mut long)?;
            long.truncate(length);
            Ok(long)
        }
        length => Ok(usual.get(..length?).unwrap_or_default().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::XattrFlags;
    use std::os::unix::fs::symlink;

    fn set(path: &std::path::Path, name: &str, value: &[u8]) {
        rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
    }

    #[test]
    fn all_values_come_whole_by_either_way() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("f");
        crate::base::file::replace(&path, b"x", 0o644).unwrap();
        symlink("f", temp.path().join("link")).unwrap();
        let mut expected = Xattrs::default();
        for (name, value) in [("user.empty", vec![]), ("user.a", b"1".to_vec()), ("user.long", vec![7; 3000])]
        {
            set(&path, name, &value);
            assert!(expected.insert(name.as_bytes(), &value));
        }
        let (directory, own) = Directory::open_root(temp.path()).unwrap();
        let (file, link) = (directory.stat(b"f").unwrap(), directory.stat(b"link").unwrap());
        let reader = XattrReader::default();
        let open = directory.open_file(b"f").unwrap();
        for found in [reader.of_open(&open, &file), reader.of_member(&directory, &file)] {
            // A security module may add its own.
            let own: Vec<_> = found.xattrs.iter().filter(|(name, _)| name.starts_with(b"user.")).collect();
            assert_eq!(own, expected.iter().collect::<Vec<_>>());
            assert!(found.failure.is_none());
        }
        let of_link = reader.of_member(&directory, &link);
        assert!(
            of_link.xattrs.get(b"user.a").is_none() && of_link.failure.is_none(),
            "not those of its target"
        );
        assert!(reader.of_open(&directory, &own).xattrs.get(b"user.a").is_none());
        let gone = Entry { name: (*b"gone").into(), ..file };
        assert!(reader.of_member(&directory, &gone).failure.is_some());
    }

    #[test]
    fn a_device_without_them_is_asked_once() {
        let Ok((directory, entry)) = Directory::open_root(std::path::Path::new("/proc")) else { return };
        let reader = XattrReader::default();
        let found = reader.of_open(&directory, &entry);
        assert!(found.xattrs.is_empty() && found.failure.is_none());
        let is_known = reader.without.read().contains(&entry.device);
        // Where a security module labels /proc, it has some.
        assert!(is_known || rustix::fs::listxattr("/proc", &mut [0; 1024][..]).is_ok());
    }
}

//! The copy of the user's folder, and what is changed in it between two snapshots.

use super::tree::is_build_output;
use crate::cli::Result;
use crate::cli::exit::Explain;
use packhorse::base::{Entropy, file};
use std::fs::{File, FileTimes, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// Files that get a line more.
const APPENDED: usize = 3;
const NEW_FILE_BYTES: usize = 1 << 20;

/// Copies all that a backup can hold, with permissions and times, and leaves out build output and the folder `without`;
/// says what was copied.
pub(super) fn copy(from: &Path, to: &Path, without: &Path) -> Result<String> {
    let (mut copied, mut left_out, mut folders) = (0_u64, 0_u64, Vec::new());
    let mut is_wanted = |entry: &DirEntry| {
        let is_unwanted = is_build_output(entry) || entry.path() == without;
        left_out += u64::from(is_unwanted);
        !is_unwanted
    };
    let mut skipped = 0_u64;
    for entry in WalkDir::new(from).into_iter().filter_entry(&mut is_wanted) {
        let Ok(entry) = entry else {
            skipped += 1;
            continue;
        };
        let target = to.join(entry.path().strip_prefix(from).expect("a walk stays below its root"));
        match copy_entry(&entry, &target) {
            Ok(true) => copied += 1,
            // Devices, sockets and pipes; and files of other users.
            Ok(false) => skipped += 1,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => skipped += 1,
            Err(error) => return Err(error).explain(format_args!("cannot copy {}", entry.path().display())),
        }
        if entry.file_type().is_dir() {
            folders.push((entry, target));
        }
    }
    // A stand-in for build output, so that there is something to be ignored.
    let output = to.join("target");
    if !output.exists() {
        std::fs::create_dir(&output)
            .and_then(|()| file::replace(&output.join("output"), b"never backed up\n", 0o644))
            .explain("cannot write to the copy")?;
    }
    for (entry, target) in folders.iter().rev() {
        copy_attributes(entry, target).explain(format_args!("cannot copy {}", entry.path().display()))?;
    }
    Ok(format!(
        "copied {copied} entries; left out {left_out} target folders and {skipped} unreadable or special files"
    ))
}

/// `false` for what no backup holds.
fn copy_entry(entry: &DirEntry, target: &Path) -> io::Result<bool> {
    let kind = entry.file_type();
    if kind.is_dir() {
        std::fs::create_dir(target)?;
    } else if kind.is_symlink() {
        symlink(std::fs::read_link(entry.path())?, target)?;
    } else if kind.is_file() {
        std::fs::copy(entry.path(), target)?;
        copy_attributes(entry, target)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn copy_attributes(entry: &DirEntry, target: &Path) -> io::Result<()> {
    let metadata = entry.metadata()?;
    File::open(target)?.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
    std::fs::set_permissions(target, metadata.permissions())
}

/// Appends to some files, removes one, and adds new ones; says so.
pub(super) fn edit(root: &Path, entropy: &dyn Entropy) -> Result<String> {
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for entry in
        WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(|entry| !is_build_output(entry))
    {
        let entry = entry.map_err(io::Error::from).explain("cannot read the copy")?;
        if entry.file_type().is_file() {
            let length = entry.metadata().map_err(io::Error::from).explain("cannot read the copy")?.len();
            files.push((length, entry.into_path()));
        }
    }
    change(root, &files, entropy).explain("cannot change the copy")
}

fn change(root: &Path, files: &[(u64, PathBuf)], entropy: &dyn Entropy) -> io::Result<String> {
    let mut told = Vec::new();
    let mut appended = 0;
    for (_, path) in files.iter().take(APPENDED) {
        // A file of a read-only kind is left alone.
        if let Ok(mut file) = OpenOptions::new().append(true).open(path) {
            file.write_all(b"one line more\n")?;
            appended += 1;
        }
    }
    told.push(format!("appended to {appended} files"));
    if let [.., (_, last)] = files
        && files.len() > APPENDED
    {
        // Its folder may be read-only.
        if std::fs::remove_file(last).is_ok() {
            told.push("removed one".to_owned());
        }
    }
    let mut data = vec![0; NEW_FILE_BYTES];
    entropy.fill(&mut data);
    let folder = root.join(format!("packhorse-demo-{}", hex::encode(entropy.bytes::<4>())));
    std::fs::create_dir(&folder)?;
    file::replace(&folder.join("random.bin"), &data, 0o640)?;
    // What moved or was copied costs only its entry.
    std::fs::copy(folder.join("random.bin"), folder.join("the same again.bin"))?;
    symlink("random.bin", folder.join("link"))?;
    told.push("added 1 MiB of random bytes twice, and a link".to_owned());
    Ok(told.join(", "))
}

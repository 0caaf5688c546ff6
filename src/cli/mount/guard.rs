//! A second process that takes the mount away when the first was killed.
//!
//! A file system whose program is gone stays mounted and fails every call. The guard holds the reading end of a pipe.
//! It is told the device number of the mount, and in the end that all is well. If the pipe closes without that, the
//! program has died: the guard detaches the mount, if that device is still mounted there.

use super::point::Point;
use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::Explain;
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The name of the hidden command.
const COMMAND: &str = "mount-guard";
/// The last line of a mount that ends as it should.
const DONE: &str = "done";

/// Flags of the hidden command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where it is mounted
    mount_point: PathBuf,
    /// Remove the folder, too
    #[arg(long)]
    remove: bool,
}

/// The guard of a mount.
pub(super) struct Guard {
    child: Child,
}

impl Guard {
    /// Starts it; without it a mount works as well.
    pub(super) fn start(ctx: &Context, point: &Point) -> Option<Self> {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.arg(COMMAND).arg(point.path());
        if point.is_temporary() {
            command.arg("--remove");
        }
        // In a group of its own: what ends the program from the keyboard must not end the guard.
        command.process_group(0).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => Some(Self { child }),
            Err(error) => {
                ctx.talk().warning(format_args!("cannot start the guard of the mount: {error}"));
                None
            }
        }
    }

    /// Names the mount.
    pub(super) fn watch(&mut self, point: &Path) {
        if let Some(device) = device_on(point) {
            self.say(&device);
        }
    }

    /// Lets the guard go.
    pub(super) fn dismiss(mut self) {
        self.say(DONE);
        self.child.wait().ok();
    }

    fn say(&mut self, line: &str) {
        if let Some(pipe) = &mut self.child.stdin {
            // A guard that is gone does nothing, and nothing is all it should do now.
            writeln!(pipe, "{line}").and_then(|()| pipe.flush()).ok();
        }
    }
}

/// Runs the hidden command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut last = None;
    for line in io::stdin().lock().lines() {
        last = line.ok().or(last);
    }
    let Some(device) = last.filter(|line| line != DONE) else { return Ok(()) };
    if device_on(&args.mount_point) != Some(device) {
        return Ok(());
    }
    let outcome = detach(&args.mount_point);
    if args.remove {
        std::fs::remove_dir(&args.mount_point).ok();
    }
    outcome.explain(format_args!("cannot detach {}", args.mount_point.display()))
}

/// Takes a mount away at once, for new users; who has files open in it keeps them.
pub(super) fn detach(point: &Path) -> io::Result<()> {
    use rustix::mount::{UnmountFlags, unmount};
    match unmount(point, UnmountFlags::DETACH) {
        Err(rustix::io::Errno::PERM) => {}
        outcome => return Ok(outcome?),
    }
    // Who may not unmount may have it done.
    let status = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(point).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("fusermount3: {status}"))) }
}

/// The device number of the file system of FUSE that is mounted on a folder.
fn device_on(point: &Path) -> Option<String> {
    find_device(&std::fs::read_to_string("/proc/self/mountinfo").ok()?, point)
}

/// The last one mounted there is the one that is seen.
fn find_device(mountinfo: &str, point: &Path) -> Option<String> {
    mountinfo.lines().rev().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut fields = front.split(' ').skip(2);
        let (device, _, found) = (fields.next()?, fields.next()?, fields.next()?);
        (unescape(found) == point.as_os_str()).then_some(())?;
        back.starts_with("fuse").then(|| device.to_owned())
    })
}

/// White space and backslashes are written as `\040`.
fn unescape(text: &str) -> OsString {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits =
            after.get(..3).filter(|_| first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_on_a_folder_is_found() {
        let text = concat!(
            "22 1 0:20 / /mnt/a rw - ext4 /dev/sda rw\n",
            "23 1 0:21 / /mnt/a rw,relatime shared:1 - fuse.packhorse packhorse ro\n",
            "24 1 0:22 / /mnt/with\\040space\\134 rw - fuse.packhorse packhorse ro\n",
            "25 1 0:23 / /mnt/b rw - tmpfs none rw\n",
        );
        assert_eq!(find_device(text, Path::new("/mnt/a")).as_deref(), Some("0:21"));
        assert_eq!(find_device(text, Path::new("/mnt/with space\\")).as_deref(), Some("0:22"));
        assert_eq!(find_device(text, Path::new("/mnt/b")), None);
        assert_eq!(find_device(text, Path::new("/mnt")), None);
    }
}

//! What Kopia has no room for, in directories that it reads, goes on from and rewrites.

use super::{assert_equal, paths};
use crate::support::live_tree::write;
use crate::support::programs::{Program, named};
use crate::support::trees::{self, Dice, Times};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use serde_json::Value;
use std::path::Path;

/// Kopia in the version that `PACKHORSE_TEST_KOPIA` names, and in an older one if another variable names that.
fn kopias() -> Vec<Program> {
    let older = named("PACKHORSE_TEST_KOPIA_022");
    let older = older.map(|executable| {
        let home = tempfile::tempdir().unwrap().keep();
        Program::in_home(&executable, &home)
    });
    Program::kopia().into_iter().chain(older).collect()
}

fn document(program: &Program, entry: &Value) -> Value {
    serde_json::from_str(&program.ok(["show", entry["obj"].as_str().unwrap()])).unwrap()
}

/// A tree that has of everything something, as far as this user and file system may; names of special files begin with
/// `special`.
fn tree(source: &Path) {
    trees::make(source, &mut Dice::new(77));
    write(&source.join("drop.tmp"), b"temporary");
    write(&source.join("sub/linked"), b"one inode");
    std::fs::hard_link(source.join("sub/linked"), source.join("linked")).unwrap();
    std::fs::hard_link(source.join("link"), source.join("sub/link")).unwrap();
    for directory in ["", "sub"] {
        let path = source.join(directory).join("special");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }
    std::os::unix::net::UnixListener::bind(source.join("special socket")).unwrap();
    let lonely = source.join("only");
    std::fs::create_dir(&lonely).unwrap();
    rustix::fs::mknodat(CWD, lonely.join("special"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let sparse = std::fs::File::create_new(source.join("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &[7; 4096], 1 << 20).unwrap();
    for name in ["", "sub", "linked", "big"] {
        rustix::fs::setxattr(source.join(name), "user.a<&>%", b"\0\xff", XattrFlags::empty()).ok();
    }
    // Until nothing is so new that it might change without another time.
    std::thread::sleep(std::time::Duration::from_millis(60));
}

#[test]
fn kopia_reads_them_goes_on_from_them_and_rewrites_them() {
    for kopia in kopias() {
        let ours = Program::packhorse();
        let base = tempfile::tempdir().unwrap();
        let (repository, source) = paths(base.path());
        tree(&source);
        ours.create(&repository, &[]);
        let first = ours.snapshot(&source);
        let root = document(&ours, &first["rootEntry"]);
        let specials = root["ph"]["specials"].as_array().unwrap();
        assert_eq!(specials.len(), 2, "{root}");
        kopia.connect(&repository);
        kopia.verify();
        kopia.ok(["content", "verify", "--full"]);
        let listed = kopia.ok(["ls", "-lr", first["id"].as_str().unwrap()]);
        assert!(!listed.contains("special") && listed.contains("linked"), "{listed}");
        let target = base.path().join("restored");
        kopia.restore(&first, &target);
        assert_equal(&source, &target, Times::Kopia);
        // On top of ours it writes what it would write, and ours comes back to the byte.
        let theirs = kopia.snapshot(&source);
        assert_eq!(theirs["stats"]["nonCachedFiles"].as_u64().unwrap_or(0), 0);
        assert!(document(&kopia, &theirs["rootEntry"]).get("ph").is_none());
        assert_eq!(theirs["rootEntry"]["summ"], first["rootEntry"]["summ"]);
        assert_eq!(ours.snapshot(&source)["rootEntry"]["obj"], first["rootEntry"]["obj"]);
        // What it rewrites loses them and stays whole.
        kopia.ok(["snapshot", "fix", "remove-files", "--filename=drop.tmp", "--commit"]);
        kopia.verify();
        ours.verify();
        kopia.ok(["maintenance", "run", "--full", "--safety=none"]);
        kopia.verify();
        ours.verify();
        // What we rewrite keeps them.
        let again = ours.snapshot(&source);
        ours.ok(["snapshot", "fix", "remove-files", "--filename=drop.tmp", "--commit"]);
        let list: Vec<Value> = serde_json::from_str(&ours.ok(["snapshot", "list", "--json"])).unwrap();
        let fixed = list.last().unwrap();
        assert_ne!(fixed["rootEntry"]["obj"], again["rootEntry"]["obj"]);
        assert_eq!(document(&ours, &fixed["rootEntry"])["ph"], root["ph"]);
        kopia.verify();
    }
}

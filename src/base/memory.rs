//! The one memory budget that all queues and buffers share.

use std::path::Path;

/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;

/// How much memory the process may plan with, in bytes.
///
/// The budget is for buffers in flight; code, tables and the runtime come on top, which is why [`MemoryBudget::of_limit`]
/// takes only a part of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Bytes for buffers in flight.
    pub buffer_bytes: u64,
}

impl MemoryBudget {
    /// Without any limit: what gives full speed on a few cores, and no more.
    pub const UNLIMITED: Self = Self { buffer_bytes: 192 * MIB };
    /// Below this no pack could be filled while another is on its way.
    pub const MINIMUM: Self = Self { buffer_bytes: 32 * MIB };

    /// The budget inside a limit of `limit_bytes`: five eighths, between the minimum and the unlimited budget.
    pub fn of_limit(limit_bytes: u64) -> Self {
        let share = limit_bytes / 8 * 5;
        Self { buffer_bytes: share.clamp(Self::MINIMUM.buffer_bytes, Self::UNLIMITED.buffer_bytes) }
    }

    /// The share of chunks that are read, hashed and compressed: three eighths.
    pub const fn chunk_bytes(self) -> u64 {
        self.buffer_bytes / 8 * 3
    }

    /// The share of packs that are filled and stored: what chunks leave.
    pub const fn pack_bytes(self) -> u64 {
        self.buffer_bytes - self.chunk_bytes()
    }

    /// Reads the limit of the control group that `self_cgroup` (the text of `/proc/self/cgroup`) names below `mount`
    /// (usually `/sys/fs/cgroup`), version 2 or 1; every ancestor counts, the smallest limit wins.
    pub fn of_cgroup(mount: &Path, self_cgroup: &str) -> Option<u64> {
        let mut smallest: Option<u64> = None;
        for line in self_cgroup.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let (root, file) = if controllers.is_empty() {
                (mount.to_path_buf(), "memory.max")
            } else if controllers.split(',').any(|name| name == "memory") {
                (mount.join("memory"), "memory.limit_in_bytes")
            } else {
                continue;
            };
            let mut group = Path::new(path.trim_start_matches('/'));
            loop {
                if let Some(limit) = read_limit(&root.join(group).join(file)) {
                    smallest = Some(smallest.map_or(limit, |other| other.min(limit)));
                }
                match group.parent() {
                    Some(parent) => group = parent,
                    None => break,
                }
            }
        }
        smallest
    }
}

/// `max` and the huge number with which version 1 says "none" both mean no limit.
fn read_limit(path: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.trim().parse().ok().filter(|&limit| limit < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_ancestor_limit_wins_in_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        let make = |path: &str, text: &str| {
            let full = dir.path().join(path);
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            std::io::Write::write_all(
                &mut std::fs::OpenOptions::new().create(true).truncate(true).write(true).open(full).unwrap(),
                text.as_bytes(),
            )
            .unwrap();
        };
        make("pod/memory.max", "268435456\n");
        make("pod/box/memory.max", "max\n");
        assert_eq!(MemoryBudget::of_cgroup(dir.path(), "0::/pod/box\n"), Some(256 * MIB));
        make("memory/pod/memory.limit_in_bytes", "134217728\n");
        make("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(MemoryBudget::of_cgroup(dir.path(), "7:cpu,memory:/pod\n"), Some(128 * MIB));
        assert_eq!(MemoryBudget::of_cgroup(dir.path(), "7:cpu:/pod\n"), None);
    }

    #[test]
    fn the_budget_stays_between_its_bounds() {
        assert_eq!(MemoryBudget::of_limit(512 * MIB), MemoryBudget::UNLIMITED);
        assert_eq!(MemoryBudget::of_limit(256 * MIB).buffer_bytes, 160 * MIB);
        assert_eq!(MemoryBudget::of_limit(128 * MIB).buffer_bytes, 80 * MIB);
        assert_eq!(MemoryBudget::of_limit(MIB), MemoryBudget::MINIMUM);
    }
}

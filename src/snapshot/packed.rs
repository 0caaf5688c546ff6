//! Many members of a directory in little memory: 50 bytes and the name for each file, 66 if it says which file it was.
//!
//! Of what else a supplement says, a record has the stored form; equal ones, such as the labels of a security module, are
//! kept once. A file or link is kept as a record of bytes; what a record cannot hold, directories among them, stays as it is. Order
//! is that of the names; the order of a stored directory, directories first, is made when it is asked for.

use super::{DirEntry, EntryType, Mode, Supplement};
use crate::base::Timestamp;
use crate::format::ContentId;
use crate::object::ObjectId;
use hashbrown::HashMap;
use std::cmp::Ordering;

/// Records are kept in blocks, so that a million of them are not copied whenever there is no more room.
const BLOCK_BYTES: usize = 256 << 10;
/// Flags, number of the rights, size, mtime, length of the content's key, length of the name. Then come, if flags say so,
/// ctime, inode, the number of a shared text, the length of an own one; the key, the name, and that text.
const HEAD_BYTES: usize = 1 + 2 + 8 + 8 + 1 + 2;

/// Mode, user and group: a few for all files of a directory.
type Rights = (u32, u32, u32);

/// It is a link, not a file.
const IS_SYMLINK: u8 = 1;
const HAS_CTIME: u8 = 2;
const HAS_INODE: u8 = 4;
const IS_DATA_ONLY: u8 = 8;
const HAS_SHARED: u8 = 16;
const HAS_OWN: u8 = 32;

/// Longest text that is looked up among the shared ones.
const SHARED_BYTES_MAX: usize = 512;

/// Members of a directory.
#[derive(Debug, Clone, Default)]
pub struct PackedEntries {
    blocks: Vec<Vec<u8>>,
    /// Where each record begins: the block and the place in it, as one number.
    places: Vec<u32>,
    rights: Vec<Rights>,
    rights_numbers: HashMap<Rights, u16>,
    shared: Vec<Box<[u8]>>,
    shared_numbers: HashMap<Box<[u8]>, u16>,
    others: Vec<DirEntry>,
    /// Places before this one are forgotten.
    first: usize,
    /// Whether records came in the order of their names.
    is_in_order: bool,
}

impl PackedEntries {
    /// Adds a member.
    pub fn push(&mut self, entry: DirEntry) {
        match key(&entry).and_then(|key| self.record(&entry, &key)) {
            Some(place) => self.places.push(place),
            None => self.others.push(entry),
        }
    }

    /// Shows name, kind and size of every member, in no order.
    pub fn for_each(&self, mut each: impl FnMut(&str, EntryType, u64)) {
        for entry in &self.others {
            each(&entry.name, entry.kind, entry.size);
        }
        for &place in &self.places {
            let mut reader = Reader(self.bytes(place));
            let [flags] = reader.array();
            reader.skip(2);
            let size = u64::from_le_bytes(reader.array());
            let name = std::str::from_utf8(self.name(place)).unwrap_or_default();
            each(name, kind_of(flags), size);
        }
    }

    /// Those that are no plain files or links, in the order they came in unless they were sorted.
    pub(super) fn others(&self) -> &[DirEntry] {
        &self.others
    }

    /// Orders everything by name; needed for all that follows.
    pub(super) fn sort(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable_by(|a, b| self.name(*a).cmp(self.name(*b)));
        self.is_in_order = places.is_sorted();
        self.places = places;
        self.others.sort_by(|a, b| a.name_bytes().cmp(b.name_bytes()));
    }

    /// How many members there are, forgotten ones included.
    pub(super) fn len(&self) -> usize {
        self.places.len() + self.others.len()
    }

    /// The member of a name.
    pub(super) fn find(&self, name: &str) -> Option<DirEntry> {
        self.get(self.position(name)?)
    }

    /// The number of the member of a name: records first, then the others, both by name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        let name = name.as_bytes();
        if let Ok(at) = self.others.binary_search_by(|entry| entry.name_bytes().cmp(name)) {
            return Some(self.places.len() + at);
        }
        let places = self.places.get(self.first..)?;
        let at = places.binary_search_by(|place| self.name(*place).cmp(name)).ok()?;
        Some(self.first + at)
    }

    /// The member of a number.
    pub(super) fn get(&self, at: usize) -> Option<DirEntry> {
        match at.checked_sub(self.places.len()) {
            Some(other) => self.others.get(other).cloned(),
            None => self.unpack(*self.places.get(at)?),
        }
    }

    /// Frees the blocks of sorted records with names before `name`, which are never asked for again.
    pub(super) fn forget_before(&mut self, name: &[u8]) {
        if !self.is_in_order {
            return;
        }
        let places = self.places.get(self.first..).unwrap_or_default();
        let first = self.first + places.partition_point(|place| self.name(*place) < name);
        self.first = first;
        let kept = self.places.get(first).map_or(self.blocks.len(), |place| *place as usize / BLOCK_BYTES);
        // From the last that may be there backwards: what is before an empty one is free already.
        for block in self.blocks.iter_mut().take(kept).rev().take_while(|block| block.capacity() > 0) {
            *block = Vec::new();
        }
    }

    /// All members in the order in which a directory is stored.
    pub(super) fn stored_order(&self) -> impl Iterator<Item = DirEntry> + '_ {
        let is_directory = |entry: &&DirEntry| entry.kind == EntryType::Directory;
        let directories = self.others.iter().filter(is_directory).cloned();
        let mut plain = self.places.iter().map(|place| (self.name(*place), *place)).peekable();
        let mut others = self.others.iter().filter(move |entry| !is_directory(entry)).peekable();
        let rest = std::iter::from_fn(move || {
            let order = match (plain.peek(), others.peek()) {
                (Some((name, _)), Some(other)) => name.cmp(&other.name_bytes()),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            if order == Ordering::Less {
                plain.next().and_then(|(_, place)| self.unpack(place))
            } else {
                others.next().cloned()
            }
        });
        directories.chain(rest)
    }

    /// The directories among the members, and all others in their order. They need not be sorted.
    pub fn into_parts(mut self) -> (Vec<DirEntry>, PackedFiles) {
        self.sort();
        let is_directory = |entry: &DirEntry| entry.kind == EntryType::Directory;
        let (directories, others) = std::mem::take(&mut self.others).into_iter().partition(is_directory);
        (directories, PackedFiles { packed: self, next: 0, others: Vec::into_iter(others).peekable() })
    }

    fn record(&mut self, entry: &DirEntry, key: &[u8]) -> Option<u32> {
        let name = entry.name.as_bytes();
        let supplement = entry.supplement.as_deref();
        let ctime = supplement.and_then(|supplement| supplement.ctime_nanos);
        let inode = supplement.and_then(|supplement| supplement.inode);
        let more = supplement.and_then(more);
        // No other member has the group and number of links of this one, or few.
        let is_own = supplement.is_some_and(|supplement| supplement.hard_link.is_some());
        let shared = more.as_deref().filter(|_| !is_own).and_then(|more| self.share(more));
        let own = more.filter(|_| shared.is_none());
        let flags = flag(IS_SYMLINK, entry.kind == EntryType::Symlink)
            | flag(HAS_CTIME, ctime.is_some())
            | flag(HAS_INODE, inode.is_some())
            | flag(IS_DATA_ONLY, supplement.is_some_and(|supplement| supplement.is_data_only))
            | flag(HAS_SHARED, shared.is_some())
            | flag(HAS_OWN, own.is_some());
        let own_bytes = own.as_deref().unwrap_or_default();
        let length = HEAD_BYTES + optional_bytes(flags) + key.len() + name.len() + own_bytes.len();
        if length > BLOCK_BYTES {
            return None;
        }
        if self.blocks.last().is_none_or(|block| block.len() + length > BLOCK_BYTES) {
            // The first grows with its directory; where there is a second, there may be many.
            let room = if self.blocks.is_empty() { 0 } else { BLOCK_BYTES };
            self.blocks.push(Vec::with_capacity(room));
        }
        let number = self.blocks.len() - 1;
        let rights = self.number_of((entry.mode.posix(), entry.uid, entry.gid))?;
        let block = self.blocks.last_mut()?;
        let place = u32::try_from(number * BLOCK_BYTES + block.len()).ok()?;
        block.push(flags);
        block.extend_from_slice(&rights.to_le_bytes());
        block.extend_from_slice(&entry.size.to_le_bytes());
        block.extend_from_slice(&entry.mtime.as_nanos().to_le_bytes());
        block.push(u8::try_from(key.len()).ok()?);
        block.extend_from_slice(&u16::try_from(name.len()).ok()?.to_le_bytes());
        block.extend(ctime.iter().flat_map(|ctime| ctime.to_le_bytes()));
        block.extend(inode.iter().flat_map(|inode| inode.to_le_bytes()));
        block.extend(shared.iter().flat_map(|number| number.to_le_bytes()));
        if own.is_some() {
            block.extend_from_slice(&u32::try_from(own_bytes.len()).ok()?.to_le_bytes());
        }
        block.extend_from_slice(key);
        block.extend_from_slice(name);
        block.extend_from_slice(own_bytes);
        Some(place)
    }

    /// The number of a text that others may have, too; `None` for one that is long, or when there are more than can be
    /// numbered.
    fn share(&mut self, text: &[u8]) -> Option<u16> {
        if let Some(&number) = self.shared_numbers.get(text) {
            return Some(number);
        }
        let number = u16::try_from(self.shared.len()).ok()?;
        if text.len() > SHARED_BYTES_MAX {
            return None;
        }
        self.shared.push(text.into());
        self.shared_numbers.insert(text.into(), number);
        Some(number)
    }

    /// `None` when there are more than can be numbered.
    fn number_of(&mut self, rights: Rights) -> Option<u16> {
        if let Some(&number) = self.rights_numbers.get(&rights) {
            return Some(number);
        }
        let number = u16::try_from(self.rights.len()).ok()?;
        self.rights.push(rights);
        self.rights_numbers.insert(rights, number);
        Some(number)
    }

    fn bytes(&self, place: u32) -> &[u8] {
        let place = place as usize;
        let block = self.blocks.get(place / BLOCK_BYTES).map_or(&[][..], Vec::as_slice);
        block.get(place % BLOCK_BYTES..).unwrap_or_default()
    }

    fn name(&self, place: u32) -> &[u8] {
        let mut reader = Reader(self.bytes(place));
        let [flags] = reader.array();
        reader.skip(HEAD_BYTES - 4);
        let (key, name) = reader.lengths();
        reader.skip(optional_bytes(flags) + key);
        reader.take(name)
    }

    fn unpack(&self, place: u32) -> Option<DirEntry> {
        let mut reader = Reader(self.bytes(place));
        let [flags] = reader.array();
        let kind = kind_of(flags);
        let &(mode, uid, gid) = self.rights.get(usize::from(u16::from_le_bytes(reader.array())))?;
        let mode = Mode::from_posix(mode);
        let size = u64::from_le_bytes(reader.array());
        let mtime = Timestamp::from_nanos(i64::from_le_bytes(reader.array()));
        let (key, name) = reader.lengths();
        let ctime_nanos = (flags & HAS_CTIME != 0).then(|| i64::from_le_bytes(reader.array()));
        let inode = (flags & HAS_INODE != 0).then(|| u64::from_le_bytes(reader.array()));
        let shared = (flags & HAS_SHARED != 0).then(|| u16::from_le_bytes(reader.array()));
        let own = (flags & HAS_OWN != 0).then(|| u32::from_le_bytes(reader.array()));
        let obj = ObjectId::direct(ContentId::from_key(reader.take(key))?);
        let name = std::str::from_utf8(reader.take(name)).ok()?.to_owned();
        let text = match (shared, own) {
            (Some(number), _) => self.shared.get(usize::from(number)).map(|text| &**text),
            (None, own) => own.map(|length| reader.take(length as usize)),
        };
        let is_data_only = flags & IS_DATA_ONLY != 0;
        let rest = text.map(|text| serde_json::from_slice(text).expect("it was written by `more`"));
        let is_there = rest.is_some() || ctime_nanos.is_some() || inode.is_some();
        let supplement = is_there
            .then(|| Box::new(Supplement { ctime_nanos, is_data_only, inode, ..rest.unwrap_or_default() }));
        Some(DirEntry { name, kind, mode, size, mtime, uid, gid, obj, supplement, ..DirEntry::default() })
    }
}

/// All members but the directories, in the order of their names. What was handed out is freed where the order allows it.
#[derive(Debug)]
pub struct PackedFiles {
    packed: PackedEntries,
    next: usize,
    others: std::iter::Peekable<std::vec::IntoIter<DirEntry>>,
}

impl PackedFiles {
    fn next_packed(&mut self) -> Option<DirEntry> {
        let place = *self.packed.places.get(self.next)?;
        self.next += 1;
        let block = place as usize / BLOCK_BYTES;
        if let Some(before) = block.checked_sub(1).filter(|_| self.packed.is_in_order) {
            self.packed.blocks[before] = Vec::new();
        }
        self.packed.unpack(place)
    }
}

impl Iterator for PackedFiles {
    type Item = DirEntry;

    fn next(&mut self) -> Option<DirEntry> {
        let packed = self.packed.places.get(self.next).map(|place| self.packed.name(*place));
        match (packed, self.others.peek()) {
            (Some(name), Some(other)) if name > other.name_bytes() => self.others.next(),
            (Some(_), _) => self.next_packed(),
            (None, _) => self.others.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.packed.places.len() - self.next + self.others.len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for PackedFiles {}

fn flag(flag: u8, is_set: bool) -> u8 {
    if is_set { flag } else { 0 }
}

fn kind_of(flags: u8) -> EntryType {
    if flags & IS_SYMLINK == 0 { EntryType::File } else { EntryType::Symlink }
}

/// Bytes of what only some records have.
fn optional_bytes(flags: u8) -> usize {
    let times = |flag: u8, bytes: usize| if flags & flag == 0 { 0 } else { bytes };
    times(HAS_CTIME, 8) + times(HAS_INODE, 8) + times(HAS_SHARED, 2) + times(HAS_OWN, 4)
}

/// What a supplement says beside time and inode, as it is stored; `None` if that is nothing.
fn more(supplement: &Supplement) -> Option<Vec<u8>> {
    let Supplement { hard_link, xattrs, holes, .. } = supplement;
    let is_none = hard_link.is_none() && xattrs.is_none() && holes.is_none();
    if is_none && supplement.identifies() {
        return None;
    }
    let rest = Supplement { ctime_nanos: None, is_data_only: false, inode: None, ..supplement.clone() };
    serde_json::to_vec(&rest).ok()
}

/// The content of an entry that a record can hold.
fn key(entry: &DirEntry) -> Option<Vec<u8>> {
    let content = entry.obj.content()?;
    let is_plain = matches!(entry.kind, EntryType::File | EntryType::Symlink)
        && entry.obj == ObjectId::direct(content)
        && entry.raw_name.is_none()
        && entry.summ.is_none()
        && entry.extra.is_empty()
        && entry.supplement.as_ref().is_none_or(|supplement| supplement.extra.is_empty())
        && u16::try_from(entry.name.len()).is_ok();
    let mut key = Vec::with_capacity(33);
    content.append_key(&mut key);
    is_plain.then_some(key)
}

/// Reads the bytes that `record` has written.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or_default();
        self.0 = rest;
        taken
    }

    fn skip(&mut self, length: usize) {
        self.take(length);
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap_or([0; N])
    }

    /// Of the key and of the name.
    fn lengths(&mut self) -> (usize, usize) {
        (usize::from(self.array::<1>()[0]), usize::from(u16::from_le_bytes(self.array())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::DirSummary;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<DirEntry>> {
        let kinds = [EntryType::File, EntryType::Symlink, EntryType::Directory, EntryType::Unknown];
        let times = (any::<Option<i64>>(), any::<bool>(), any::<Option<u64>>());
        let texts = vec![
            "{}",
            r#"{"more":1}"#,
            r#"{"x":{"security.selinux":"AQ=="}}"#,
            r#"{"h":1,"n":2}"#,
            r#"{"h":1,"n":2,"d":3,"x":{}}"#,
            r#"{"s":[[0,4096]]}"#,
            r#"{"s":true}"#,
        ];
        let supplement = prop::option::of((times, prop::sample::select(texts), any::<bool>()));
        let what = (prop::sample::select(kinds.to_vec()), any::<bool>(), supplement);
        let numbers = (any::<u64>(), any::<i64>(), any::<u32>(), any::<u32>(), 0_u32..0o10000);
        let ids = prop::sample::select(vec!["", "abcd", "kabcd", "Iabcd", "Zabcd", "xabcd"]);
        let entry = (what, numbers, ids).prop_map(|((kind, plain, supplement), numbers, obj)| {
            let (size, mtime, uid, gid, mode) = numbers;
            let (mode, mtime) = (Mode::from_posix(mode), Timestamp::from_nanos(mtime));
            let summ = (!plain).then(|| Box::new(DirSummary::default()));
            let obj = obj.parse().unwrap();
            let supplement = supplement.map(|((ctime_nanos, is_data_only, inode), json, is_long)| {
                let mut known: Supplement = serde_json::from_str(json).unwrap();
                if is_long {
                    let xattrs = known.xattrs.get_or_insert_default();
                    (0..8).for_each(|n| assert!(xattrs.insert(&[b'u', n + 1], &vec![n; 50_000])));
                }
                let is_data_only = is_data_only && ctime_nanos.is_some();
                Box::new(Supplement { ctime_nanos, is_data_only, inode, ..known })
            });
            DirEntry { kind, mode, size, mtime, uid, gid, obj, summ, supplement, ..DirEntry::default() }
        });
        prop::collection::btree_map("[a-z\u{e9}]{1,6}", entry, 0..40)
            .prop_map(|named| named.into_iter().map(|(name, entry)| DirEntry { name, ..entry }).collect())
    }

    proptest! {
        #[test]
        fn entries_come_back_as_they_were(entries in entries(), rotate in 0_usize..40) {
            let mut packed = PackedEntries::default();
            let mut shuffled = entries.clone();
            let by = rotate % shuffled.len().max(1);
            shuffled.rotate_left(by);
            shuffled.iter().cloned().for_each(|entry| packed.push(entry));
            packed.sort();
            for entry in &entries {
                prop_assert_eq!(packed.find(&entry.name), Some(entry.clone()));
            }
            let mut expected = entries;
            expected.sort_by_key(|entry| (entry.kind != EntryType::Directory, entry.name.clone()));
            prop_assert_eq!(packed.stored_order().collect::<Vec<_>>(), expected.clone());
            let (mut parts, files) = packed.into_parts();
            prop_assert_eq!(files.len(), expected.len() - parts.len());
            parts.extend(files);
            prop_assert_eq!(parts, expected);
        }

        #[test]
        fn what_is_forgotten_is_not_missed(entries in entries(), turned in any::<bool>()) {
            let mut packed = PackedEntries::default();
            let mut pushed = entries.clone();
            if turned {
                pushed.reverse();
            }
            for entry in pushed {
                packed.push(entry);
            }
            packed.sort();
            for entry in &entries {
                packed.forget_before(entry.name.as_bytes());
                prop_assert_eq!(packed.find(&entry.name), Some(entry.clone()));
            }
        }
    }

    /// With names of nine bytes; the number of bytes that a member costs.
    fn packed(supplement: impl Fn(u64) -> Option<Box<Supplement>>) -> (PackedEntries, usize) {
        let mut packed = PackedEntries::default();
        let obj: ObjectId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        for number in 0..20_000_u64 {
            let name = format!("file{:05}", (number * 7919) % 20_000);
            let (kind, supplement) = (EntryType::File, supplement(number));
            packed.push(DirEntry { name, size: number, kind, obj, supplement, ..DirEntry::default() });
        }
        packed.sort();
        let bytes: usize = packed.blocks.iter().map(Vec::capacity).sum();
        let each = (bytes + packed.places.capacity() * 4) / 20_000;
        (packed, each)
    }

    #[test]
    fn many_blocks_are_one_list() {
        let (packed, bytes) = packed(|_| None);
        assert!(packed.blocks.len() > 3 && packed.others.is_empty());
        assert_eq!(packed.find("file07919").unwrap().size, 1);
        assert!(packed.find("file").is_none());
        let names: Vec<_> = packed.stored_order().map(|entry| entry.name).collect();
        assert!(names.len() == 20_000 && names.is_sorted());
        let obj: ObjectId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let mut in_order = PackedEntries::default();
        for name in names {
            in_order.push(DirEntry { name, kind: EntryType::File, obj, ..DirEntry::default() });
        }
        in_order.sort();
        in_order.forget_before(b"file15000");
        assert!(in_order.find("file14999").is_none() && in_order.find("file15000").is_some());
        let left: usize = in_order.blocks.iter().map(Vec::capacity).sum();
        assert!(left <= 2 * BLOCK_BYTES, "what is before is free: {left}");
        assert!(bytes < 65, "{bytes}");
    }

    #[test]
    fn which_file_it_was_costs_sixteen_bytes() {
        let identity =
            |number| Supplement { ctime_nanos: Some(-1), inode: Some(number), ..Supplement::default() };
        let (entries, bytes) = packed(|number| Some(Box::new(identity(number))));
        assert!(entries.others.is_empty(), "all of them are records");
        assert_eq!(entries.find("file07919").unwrap().supplement.as_deref(), Some(&identity(1)));
        assert!(bytes < 65 + 16, "{bytes}");
        let records = |packed: &PackedEntries| packed.blocks.iter().map(Vec::len).sum::<usize>();
        assert_eq!(records(&entries) - records(&packed(|_| None).0), 16 * 20_000);
        let label = |number| {
            let more = r#"{"x":{"security.selinux":"c3lzdGVtX3U6b2JqZWN0X3I6ZXRjX3Q6czAA"}}"#;
            let more: Supplement = serde_json::from_str(more).unwrap();
            Some(Box::new(Supplement { ctime_nanos: Some(-1), inode: Some(number), ..more }))
        };
        let (labelled, _) = packed(label);
        assert_eq!(records(&labelled) - records(&entries), 2 * 20_000, "a label is kept once");
        assert_eq!(labelled.find("file07919").unwrap().supplement, label(1));
    }
}

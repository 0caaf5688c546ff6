//! What is mounted as a tree of numbered nodes. Knows nothing of the kernel.

use super::early::Early;
use super::listings::Listings;
use super::numbers::{LinkKey, NO_SNAPSHOT, Numbers, Place, ROOT, ROOT_DIRECTORY};
use super::{Error, Result, Top};
use crate::object::{ObjectId, ObjectReader};
use crate::snapshot::{self, DirEntry, EntryType, HardLink, Listing, Member, find_in_wide_directory};
use crate::source::SpecialKind;
use std::sync::Arc;

/// Longest name that Linux takes, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Something in the tree.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) number: u64,
    pub(super) entry: DirEntry,
    pub(super) special: Option<SpecialKind>,
}

impl Node {
    fn new(number: u64, member: Member) -> Self {
        let Member { entry, special } = member;
        Self { number, entry, special }
    }
}

#[derive(Debug)]
pub(super) struct Tree {
    objects: ObjectReader,
    top: Top,
    numbers: Numbers,
    listings: Listings,
    early: Early,
}

impl Tree {
    pub(super) fn new(objects: ObjectReader, top: Top, listings: Listings) -> Self {
        let numbers = Numbers::new(matches!(top, Top::Directory(_)));
        Self { objects, top, numbers, listings, early: Early::default() }
    }

    pub(super) fn objects(&self) -> &ObjectReader {
        &self.objects
    }

    pub(super) fn root(&self) -> Node {
        let entry = match &self.top {
            Top::Directory(entry) => entry.as_ref().clone(),
            Top::All(sources) => sources.root(),
        };
        Node { number: ROOT, entry, special: None }
    }

    /// The directory of a number.
    pub(super) fn directory(&self, number: u64) -> Result<u32> {
        self.numbers.directory(number).ok_or(Error::Unknown { number })
    }

    /// The listing of a directory, if it is in memory.
    pub(super) fn listing_in_memory(&self, directory: u32) -> Option<Arc<Listing>> {
        self.listings.get(directory)
    }

    /// The listing of a directory; those above are read, too, where they are not in memory.
    pub(super) fn listing(&self, directory: u32) -> Result<Arc<Listing>> {
        let mut way = vec![directory];
        let mut above = None;
        while let Some(place) = way.last().and_then(|below| self.numbers.place_of_directory(*below)) {
            if let Some(listing) = way.last().and_then(|below| self.listings.get(*below)) {
                way.pop();
                above = Some(listing);
                break;
            }
            way.push(place.directory);
        }
        while let Some(below) = way.pop() {
            let load = || {
                let listing = self.load(below, above.as_deref());
                self.early.close(below);
                listing
            };
            above = Some(self.listings.get_or_load(below, load)?);
        }
        above.ok_or(Error::Unknown { number: Numbers::of_directory(directory) })
    }

    fn load(&self, directory: u32, above: Option<&Listing>) -> Result<Listing> {
        let place = self.numbers.place_of_directory(directory);
        let member = place.zip(above).and_then(|(place, above)| above.get(place.member as usize));
        let entry = member.map(|member| member.entry);
        let outcome = match (&self.top, place, entry) {
            (Top::Directory(root), None, _) => self.read(directory, root.obj),
            (Top::All(sources), None, _) => Ok(sources.users()),
            (Top::All(sources), Some(place), Some(entry))
                if self.numbers.snapshot_of(directory) == NO_SNAPSHOT =>
            {
                match self.name_of(place.directory) {
                    None => Ok(sources.paths(&entry.name)),
                    Some(user) => sources.snapshots(&user, &entry.name),
                }
            }
            (_, _, Some(entry)) => self.read(directory, entry.obj),
            (_, Some(_), None) => return Err(Error::Unknown { number: Numbers::of_directory(directory) }),
        };
        outcome.map_err(|source| Error::Directory {
            path: self.path(Numbers::of_directory(directory)),
            source: Arc::new(source),
        })
    }

    fn read(&self, directory: u32, id: ObjectId) -> Result<Listing, snapshot::Error> {
        Listing::read(&self.objects, id, |entry| {
            let is_possible = is_possible(entry.name_bytes());
            if !is_possible {
                let path = self.path(Numbers::of_directory(directory));
                tracing::warn!("{path} has a member with the name {:?}, which cannot be shown", entry.name);
            }
            is_possible
        })
    }

    /// The name of a directory; `None` for the root.
    fn name_of(&self, directory: u32) -> Option<String> {
        let place = self.numbers.place_of_directory(directory)?;
        Some(self.listing(place.directory).ok()?.get(place.member as usize)?.entry.name)
    }

    /// A file of a wide directory that was not read yet, if it can be found without reading the directory.
    pub(super) fn lookup_early(&self, directory: u32, name: &[u8]) -> Option<Node> {
        if !self.early.is_open(directory) || self.listings.get(directory).is_some() {
            return None;
        }
        let root = || Some(self.root().entry.obj);
        let object = match self.numbers.place_of_directory(directory) {
            None => root(),
            Some(place) => Some(self.listing(place.directory).ok()?.get(place.member as usize)?.entry.obj),
        };
        let object = object.filter(|object| object.list().is_some())?;
        let name = std::str::from_utf8(name).ok()?;
        // What goes wrong here goes wrong again where it is told.
        let entry = find_in_wide_directory(&self.objects, object, name).ok()??;
        if hard_link(&entry).is_some() {
            return None;
        }
        let member = Member { entry, special: None };
        Some(Node::new(self.early.add(directory, &member)?, member))
    }

    /// The member of a name.
    pub(super) fn lookup(&self, directory: u32, listing: &Listing, name: &[u8]) -> Result<Option<Node>> {
        match listing.position(name) {
            Some(member) => self.member(directory, listing, member),
            None => Ok(None),
        }
    }

    /// The member of a number in its listing.
    pub(super) fn member(&self, directory: u32, listing: &Listing, member: usize) -> Result<Option<Node>> {
        let (Some(found), Ok(member)) = (listing.get(member), u32::try_from(member)) else { return Ok(None) };
        let place = Place { directory, member };
        let entry = &found.entry;
        let number = match (entry.kind, hard_link(entry)) {
            (EntryType::Directory, _) => {
                Numbers::of_directory(self.numbers.directory_at(place, !entry.obj.is_none())?)
            }
            (_, None) => {
                let early = self.early.number_of(directory, entry.name_bytes());
                early.unwrap_or_else(|| Numbers::of_member(place))
            }
            (_, Some(&HardLink { device, inode, .. })) => {
                let snapshot = self.numbers.snapshot_of(directory);
                self.numbers.of_link(LinkKey { snapshot, device, inode, object: entry.obj }, place)
            }
        };
        Ok(Some(Node::new(number, found)))
    }

    /// The node of a number, if the listing it is in is in memory.
    pub(super) fn node_in_memory(&self, number: u64) -> Option<Node> {
        if let Some((_, member)) = self.early.get(number) {
            return Some(Node::new(number, member));
        }
        let Some(place) = self.numbers.place(number) else { return (number == ROOT).then(|| self.root()) };
        let member = self.listings.get(place.directory)?.get(place.member as usize)?;
        Some(Node::new(number, member))
    }

    /// The node of a number.
    pub(super) fn node(&self, number: u64) -> Result<Node> {
        if number == ROOT {
            return Ok(self.root());
        }
        if let Some((_, member)) = self.early.get(number) {
            return Ok(Node::new(number, member));
        }
        let unknown = || Error::Unknown { number };
        let place = self.numbers.place(number).ok_or_else(unknown)?;
        let member = self.listing(place.directory)?.get(place.member as usize).ok_or_else(unknown)?;
        Ok(Node::new(number, member))
    }

    /// The number of the directory above another.
    pub(super) fn above(&self, directory: u32) -> u64 {
        let place = self.numbers.place_of_directory(directory);
        Numbers::of_directory(place.map_or(ROOT_DIRECTORY, |place| place.directory))
    }

    /// Where a node is, for messages: as far as it can be told.
    pub(super) fn path(&self, number: u64) -> String {
        let mut names = Vec::new();
        let mut next = self.numbers.place(number);
        if let Some((directory, member)) = self.early.get(number) {
            names.push(member.entry.name);
            next = self.numbers.place_of_directory(directory);
        }
        while let Some(place) = next {
            let member =
                self.listings.get(place.directory).and_then(|above| above.get(place.member as usize));
            names.push(member.map_or_else(|| "…".to_owned(), |member| member.entry.name));
            next = self.numbers.place_of_directory(place.directory);
        }
        names.reverse();
        format!("/{}", names.join("/"))
    }
}

/// Whether the kernel takes such a name from a file system.
fn is_possible(name: &[u8]) -> bool {
    let is_dots = name == b"." || name == b"..";
    let is_component = !name.iter().any(|byte| [b'/', 0].contains(byte));
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !is_dots && is_component
}

/// What an entry says of its other names, if it has any.
pub(super) fn hard_link(entry: &DirEntry) -> Option<&HardLink> {
    entry.supplement.as_ref()?.hard_link.as_deref().filter(|link| link.links > 1)
}

//! The stored form of a [`Supplement`].

use super::byte_name::{name_of_text, text_of_name};
use super::{HardLink, Supplement};
use crate::base::ExtraFields;
use crate::source::{Hole, Holes, Xattrs};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// The members, in their order.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StoredSupplement<'a> {
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    ctime_nanos: Option<i64>,
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    data_ctime_nanos: Option<i64>,
    #[serde(rename = "i", skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    link_inode: Option<u64>,
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    links: Option<u64>,
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    link_device: Option<u64>,
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    xattrs: Option<StoredXattrs<'a>>,
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    holes: Option<StoredHoles<'a>>,
    #[serde(flatten, skip_deserializing)]
    extra: Option<&'a ExtraFields>,
}

impl<'a> From<&'a Supplement> for StoredSupplement<'a> {
    fn from(supplement: &'a Supplement) -> Self {
        let Supplement { ctime_nanos, is_data_only, inode, hard_link, xattrs, holes, extra } = supplement;
        let link = hard_link.as_deref();
        Self {
            ctime_nanos: ctime_nanos.filter(|_| !is_data_only),
            data_ctime_nanos: ctime_nanos.filter(|_| *is_data_only),
            inode: *inode,
            link_inode: link.map(|link| link.inode),
            links: link.map(|link| link.links),
            link_device: link.and_then(|link| link.device),
            xattrs: xattrs.as_deref().map(|xattrs| StoredXattrs(Cow::Borrowed(xattrs))),
            holes: holes.as_deref().map(|holes| StoredHoles(Cow::Borrowed(holes))),
            extra: (!extra.is_empty()).then_some(extra),
        }
    }
}

impl StoredSupplement<'_> {
    /// What was read, with what is not known in it.
    pub(super) fn into_supplement(self, extra: ExtraFields) -> Result<Supplement, &'static str> {
        if self.ctime_nanos.is_some() && self.data_ctime_nanos.is_some() {
            return Err("it has two times");
        }
        let hard_link = match (self.link_inode, self.links, self.link_device) {
            (Some(inode), Some(links), device) => Some(Box::new(HardLink { device, inode, links })),
            (None, None, None) => None,
            _ => return Err("a part of a hard link is missing"),
        };
        Ok(Supplement {
            ctime_nanos: self.ctime_nanos.or(self.data_ctime_nanos),
            is_data_only: self.data_ctime_nanos.is_some(),
            inode: self.inode,
            hard_link,
            xattrs: self.xattrs.map(|xattrs| Box::new(xattrs.0.into_owned())),
            holes: self.holes.map(|holes| Box::new(holes.0.into_owned())),
            extra,
        })
    }
}

/// An object of names and base64.
struct StoredXattrs<'a>(Cow<'a, Xattrs>);

impl Serialize for StoredXattrs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            map.serialize_entry(&text_of_name(name), &BASE64_STANDARD.encode(value))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for StoredXattrs<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Xattrs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("extended attributes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Xattrs, A::Error> {
                let mut xattrs = Xattrs::default();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    let name = name_of_text(&name).ok_or_else(|| A::Error::custom("a name is mangled"))?;
                    let value = BASE64_STANDARD.decode(value).map_err(A::Error::custom)?;
                    if !xattrs.insert(&name, &value) {
                        return Err(A::Error::custom("there cannot be such an attribute"));
                    }
                }
                Ok(xattrs)
            }
        }
        deserializer.deserialize_map(Reader).map(|xattrs| Self(Cow::Owned(xattrs)))
    }
}

/// `true`, or a list of pairs.
struct StoredHoles<'a>(Cow<'a, Holes>);

impl Serialize for StoredHoles<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &*self.0 {
            Holes::Scattered => serializer.serialize_bool(true),
            Holes::At(holes) => serializer.collect_seq(holes.iter().map(|hole| [hole.offset, hole.length])),
        }
    }
}

impl<'de> Deserialize<'de> for StoredHoles<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Holes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("holes")
            }

            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Holes, E> {
                value.then_some(Holes::Scattered).ok_or_else(|| E::custom("holes are not false"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Holes, A::Error> {
                let mut holes = Vec::new();
                while let Some([offset, length]) = list.next_element::<[u64; 2]>()? {
                    if holes.len() == Holes::LISTED_MAX {
                        return Err(A::Error::custom("there are too many holes"));
                    }
                    holes.push(Hole { offset, length });
                }
                Holes::listed(holes).ok_or_else(|| A::Error::custom("holes are out of order"))
            }
        }
        deserializer.deserialize_any(Reader).map(|holes| Self(Cow::Owned(holes)))
    }
}

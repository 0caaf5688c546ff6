//! Members of a JSON object that a reader does not know and a rewrite must not lose.
//!
//! Newer programs add fields to documents that older ones read, change and write again. A document that carries
//! [`ExtraFields`] gives them back as they came: same text, same order, behind the fields that are known. Known names
//! are matched as Go's `encoding/json` does: exactly, and failing that without regard to case.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use std::fmt;
use zeroize::Zeroize;

/// Unknown members of one object, in the order they came in.
///
/// They may hold keys, so they are never shown, and wiped from memory in the end.
#[derive(Clone, Default)]
#[expect(clippy::box_collection, reason = "a Vec would take three words in each of a million entries")]
pub struct ExtraFields(Option<Box<Vec<Field>>>);

/// A name and what it has.
type Field = (String, Box<RawValue>);

impl ExtraFields {
    /// None at all.
    pub const NONE: Self = Self(None);

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The text of the member of this very name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value.get())
    }

    /// Takes out the member of this very name if it can be read as a `T`; else it stays.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let fields = self.0.as_mut()?;
        let at = fields.iter().position(|(known, _)| known == name)?;
        let taken = serde_json::from_str(fields.get(at)?.1.get()).ok()?;
        wipe(fields.remove(at).1);
        if fields.is_empty() {
            self.0 = None;
        }
        Some(taken)
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().flat_map(|fields| fields.iter()).map(|(name, value)| (name.as_str(), &**value))
    }
}

impl PartialEq for ExtraFields {
    fn eq(&self, other: &Self) -> bool {
        let text = |(name, value): (&str, &RawValue)| (name.to_owned(), value.get().to_owned());
        self.iter().map(text).eq(other.iter().map(text))
    }
}

impl Eq for ExtraFields {}

impl fmt::Debug for ExtraFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExtraFields({})", self.iter().count())
    }
}

impl Drop for ExtraFields {
    fn drop(&mut self) {
        for (_, value) in self.0.take().into_iter().flat_map(|fields| *fields) {
            wipe(value);
        }
    }
}

fn wipe(value: Box<RawValue>) {
    String::from(Box::<str>::from(value)).zeroize();
}

impl Serialize for ExtraFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Lets a struct with a field `extra: ExtraFields` and `#[serde(remote = "Self")]` be read with what it does not know.
/// Its serialiser is the derived one, unless it is written `by hand`.
macro_rules! keeps_extra_fields {
    ($type:ty) => {
        $crate::base::keeps_extra_fields!($type, by hand);

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    };
    ($type:ty, by hand) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut extra = $crate::base::ExtraFields::default();
                let known = Self::deserialize($crate::base::Collector::new(deserializer, &mut extra))?;
                Ok(Self { extra, ..known })
            }
        }
    };
}
pub(crate) use keeps_extra_fields;

/// Reads a struct from an object and sets unknown members aside.
#[derive(Debug)]
pub(crate) struct Collector<'a, D> {
    deserializer: D,
    extra: &'a mut ExtraFields,
}

impl<'a, D> Collector<'a, D> {
    /// Sets aside into `extra`.
    pub(crate) fn new(deserializer: D, extra: &'a mut ExtraFields) -> Self {
        Self { deserializer, extra }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Collector<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserializer.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserializer.deserialize_map(Members { known, extra: self.extra, inner: visitor })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A visitor, then a map, that shows only known members to the one behind it.
struct Members<'a, M> {
    known: &'static [&'static str],
    extra: &'a mut ExtraFields,
    inner: M,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Members<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let Members { known, extra, inner } = self;
        inner.visit_map(Members { known, extra, inner: map })
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        while let Some(name) = self.inner.next_key_seed(Name(self.known))? {
            match name {
                Ok(known) => {
                    let key: StrDeserializer<'_, Self::Error> = known.into_deserializer();
                    return seed.deserialize(key).map(Some);
                }
                Err(unknown) => {
                    let value = self.inner.next_value()?;
                    self.extra.0.get_or_insert_default().push((unknown, value));
                }
            }
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Self::Error> {
        self.inner.next_value_seed(seed)
    }
}

/// Reads a name: one that is known, or what it says.
struct Name(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Result<&'static str, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Result<&'static str, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let exact = self.0.iter().find(|known| **known == name);
        let known = exact.or_else(|| self.0.iter().find(|known| known.eq_ignore_ascii_case(name)));
        Ok(known.copied().ok_or_else(|| name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
    #[serde(remote = "Self", rename_all = "camelCase", default)]
    struct Document {
        first: u32,
        second_one: Option<String>,
        #[serde(flatten, skip_deserializing)]
        extra: ExtraFields,
    }

    keeps_extra_fields!(Document);

    #[test]
    fn unknown_members_come_back_as_they_were() {
        let json =
            r#"{"z":[1, 2.50e3],"first":7,"a":{"first":9,"b":null},"secondOne":"x","":18446744073709551616}"#;
        let document: Document = serde_json::from_str(json).unwrap();
        assert_eq!((document.first, document.second_one.as_deref()), (7, Some("x")));
        let kept =
            r#"{"first":7,"secondOne":"x","z":[1, 2.50e3],"a":{"first":9,"b":null},"":18446744073709551616}"#;
        assert_eq!(serde_json::to_string(&document).unwrap(), kept);
        assert_eq!(format!("{:?}", document.extra), "ExtraFields(3)");
    }

    #[test]
    fn names_match_without_regard_to_case() {
        let document: Document = serde_json::from_str(r#"{"FIRST":1,"secondone":"y"}"#).unwrap();
        assert_eq!((document.first, document.second_one.as_deref()), (1, Some("y")));
        assert!(document.extra.is_empty());
    }

    #[test]
    fn a_member_is_taken_out_if_it_is_what_it_should_be() {
        let json = r#"{"first":7,"a":1,"b":"x"}"#;
        let mut document: Document = serde_json::from_str(json).unwrap();
        assert_eq!((document.extra.take::<u32>("b"), document.extra.take::<u32>("A")), (None, None));
        assert_eq!(
            serde_json::to_string(&document).unwrap(),
            r#"{"first":7,"secondOne":null,"a":1,"b":"x"}"#
        );
        assert_eq!(document.extra.take::<u32>("a"), Some(1));
        assert_eq!(document.extra.take::<String>("b").as_deref(), Some("x"));
        assert!(document.extra.is_empty());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in ["null", "[1]", "7", r#"{"first":"x"}"#, r#"{"first":1"#, r#"{"a":}"#] {
            serde_json::from_str::<Document>(json).unwrap_err();
        }
    }
}

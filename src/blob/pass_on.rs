//! Methods that a store around another store leaves to it.

/// Writes those methods of [`Storage`](super::Storage) that only call the same method of the store in a field:
/// `pass_on!(inner: get, list);`.
macro_rules! pass_on {
    ($field:tt: $($method:ident),+ $(,)?) => {
        $($crate::blob::pass_on::pass_on!(@$method $field);)+
    };
    (@get $field:tt) => {
        fn get(
            &self,
            id: &$crate::blob::BlobId,
            range: Option<$crate::blob::ByteRange>,
        ) -> $crate::blob::Result<Vec<u8>> {
            self.$field.get(id, range)
        }
    };
    (@get_within $field:tt) => {
        fn get_within(
            &self,
            id: &$crate::blob::BlobId,
            range: $crate::blob::ByteRange,
        ) -> $crate::blob::Result<Vec<u8>> {
            self.$field.get_within(id, range)
        }
    };
    (@parallelism $field:tt) => {
        fn parallelism(&self) -> usize {
            self.$field.parallelism()
        }
    };
    (@metadata $field:tt) => {
        fn metadata(&self, id: &$crate::blob::BlobId) -> $crate::blob::Result<$crate::blob::BlobMetadata> {
            self.$field.metadata(id)
        }
    };
    (@put $field:tt) => {
        fn put(
            &self,
            id: &$crate::blob::BlobId,
            data: ::bytes::Bytes,
            options: $crate::blob::PutOptions,
        ) -> $crate::blob::Result<()> {
            self.$field.put(id, data, options)
        }
    };
    (@barrier $field:tt) => {
        fn barrier(&self) -> $crate::blob::Result<()> {
            self.$field.barrier()
        }
    };
    (@adopt $field:tt) => {
        fn adopt(&self, id: &$crate::blob::BlobId) -> $crate::blob::Result<()> {
            self.$field.adopt(id)
        }
    };
    (@delete $field:tt) => {
        fn delete(&self, id: &$crate::blob::BlobId) -> $crate::blob::Result<()> {
            self.$field.delete(id)
        }
    };
    (@delete_many $field:tt) => {
        fn delete_many(&self, ids: &[$crate::blob::BlobId]) -> $crate::blob::Result<()> {
            self.$field.delete_many(ids)
        }
    };
    (@extend_retention $field:tt) => {
        fn extend_retention(
            &self,
            id: &$crate::blob::BlobId,
            retention: $crate::blob::Retention,
        ) -> $crate::blob::Result<()> {
            self.$field.extend_retention(id, retention)
        }
    };
    (@list $field:tt) => {
        fn list(
            &self,
            prefix: &str,
            visit: &mut dyn FnMut($crate::blob::BlobMetadata) -> $crate::blob::Result<()>,
        ) -> $crate::blob::Result<()> {
            self.$field.list(prefix, visit)
        }
    };
    (@capacity $field:tt) => {
        fn capacity(&self) -> $crate::blob::Result<Option<$crate::blob::Capacity>> {
            self.$field.capacity()
        }
    };
    (@is_read_only $field:tt) => {
        fn is_read_only(&self) -> bool {
            self.$field.is_read_only()
        }
    };
    (@display_name $field:tt) => {
        fn display_name(&self) -> String {
            self.$field.display_name()
        }
    };
}

pub(crate) use pass_on;

//! How single values of a policy are left out of JSON and inherited.

/// A value that can be unset; the unset one is the default, left out of JSON, and filled from the next policy.
pub(super) trait Field: Clone {
    /// Whether a less specific policy may still give the value.
    fn is_unset(&self) -> bool;

    /// Takes `from`'s value if none is set yet; says whether it did.
    fn inherit(&mut self, from: &Self) -> bool {
        let takes = self.is_unset() && !from.is_unset();
        if takes {
            self.clone_from(from);
        }
        takes
    }
}

impl<T: Clone> Field for Option<T> {
    fn is_unset(&self) -> bool {
        self.is_none()
    }
}

impl Field for i64 {
    fn is_unset(&self) -> bool {
        *self == 0
    }
}

impl Field for bool {
    fn is_unset(&self) -> bool {
        !*self
    }
}

impl Field for String {
    fn is_unset(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Clone> Field for Vec<T> {
    fn is_unset(&self) -> bool {
        self.is_empty()
    }
}

/// Declares one section of a policy, the section of the definition that tells who gave each value, and their merging,
/// for sections in which the first set value wins throughout.
macro_rules! section {
    (
        $(#[$about:meta])*
        $policy:ident, $definition:ident {
            $($(#[$field_about:meta])* $field:ident: $kind:ty,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $policy {
            $(
                $(#[$field_about])*
                #[serde(skip_serializing_if = "crate::policy::field::Field::is_unset")]
                pub $field: $kind,
            )*
        }

        #[doc = concat!("Which target gave each value of [`", stringify!($policy), "`].")]
        #[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $definition {
            $(
                $(#[$field_about])*
                pub $field: $crate::policy::SourceInfo,
            )*
        }

        impl $policy {
            /// Fills what is still unset from the less specific `from`, defined for `target`.
            pub(super) fn merge(
                &mut self,
                from: &Self,
                definition: &mut $definition,
                target: &$crate::policy::SourceInfo,
            ) {
                $(
                    if crate::policy::field::Field::inherit(&mut self.$field, &from.$field) {
                        definition.$field.clone_from(target);
                    }
                )*
            }
        }
    };
}

pub(super) use section;

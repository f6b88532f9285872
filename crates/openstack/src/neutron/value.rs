//! Small things that several resources share.

use serde::{Deserialize, Deserializer};

/// Defines an enumeration of Neutron's that keeps values which this version doesn't know.
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A value that this version doesn't know.
            Other(String),
        }

        impl $name {
            /// The value as Neutron writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)*
                    _ => Self::Other(text),
                }
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.as_str().to_owned()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(super) use open_enum;

/// Reads `null` as the type's default: Neutron answers `null` for much that was never set.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Parameters of a list request. Several values of one name are alternatives.
#[derive(Debug, Default)]
pub(super) struct Filters(Vec<(&'static str, String)>);

impl Filters {
    /// Adds `name=value` for each value.
    pub(super) fn any<V: ToString>(mut self, name: &'static str, values: impl IntoIterator<Item = V>) -> Self {
        self.0.extend(values.into_iter().map(|value| (name, value.to_string())));
        self
    }

    /// The parameters, with the size of a page if one was asked for.
    pub(super) fn paged(self, page_size: Option<usize>) -> Vec<(&'static str, String)> {
        self.any("limit", page_size).0
    }
}

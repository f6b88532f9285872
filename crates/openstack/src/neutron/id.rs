//! Identifiers, one type for each kind of object, so that they can't be mixed up.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Defines an identifier. Neutron's are UUIDs today, but the API reference only promises text, so nothing is checked.
macro_rules! identifier {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

identifier! {
    /// Identifier of a port.
    PortId
    /// Identifier of a network.
    NetworkId
    /// Identifier of a subnet.
    SubnetId
    /// Identifier of a subnet pool.
    SubnetPoolId
    /// Identifier of a security group.
    SecurityGroupId
    /// Identifier of a security group rule.
    SecurityGroupRuleId
    /// Identifier of an address group.
    AddressGroupId
    /// Identifier of a QoS policy.
    QosPolicyId
    /// Identifier of a Keystone project.
    ProjectId
}

//! Identifiers, one type for each kind of object, so that they can't be mixed up.

use crate::value::identifier;

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
    /// Identifier of a floating IP.
    FloatingIpId
    /// Identifier of a QoS policy.
    QosPolicyId
    /// Identifier of a Keystone project.
    ProjectId
}

//! The node's datapath: netlink, network namespaces, OVSDB, interface drivers.

//! The cluster's controllers: pods to ports, ports to Neutron.

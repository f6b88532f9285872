//! A typed client for Keystone and Neutron.

//! A real cloud and a real cluster on one machine, in network namespaces, for tests and demos.

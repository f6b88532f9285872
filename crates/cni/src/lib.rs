//! CNI types.

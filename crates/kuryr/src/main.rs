//! The kuryr program: controller, daemon and the operator's commands.
fn main() {}

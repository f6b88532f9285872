//! What every test needs: an API server for all of them, and a world of its own for each, with a cloud, a namespace, nodes
//! and controllers.

mod cloud;
mod history;
mod life;
mod node;
mod server;
mod tell;
mod view;
mod way;
mod wire;
mod world;

pub use cloud::Fault;
pub use life::{Moment, Point};
pub use view::Thaw;
pub use way::{Keeper, Kept, Step, WAY};
pub use world::{Running, SWEEP_AT_ONCE, World, eventually, eventually_so, in_world, in_worlds};

//! NetworkPolicies, seen with packets: a mesh of pods, who reaches whom in it, and who ought to.

pub mod groups;
pub mod knock;
pub mod measure;
pub mod mesh;
pub mod objects;
pub mod probe;
pub mod progress;
pub mod steady;
pub mod table;
pub mod text;

pub use mesh::Mesh;

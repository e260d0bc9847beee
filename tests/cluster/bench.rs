//! What the scenarios share: pods and what surrounds them, publishers and players by the hundred, and the figures.
//!
//! Nothing here asserts a behaviour of the server; that is the scenarios' part.

pub mod addresses;
pub mod audience;
pub mod balancer;
pub mod book;
pub mod cluster;
pub mod control_plane;
pub mod drain;
pub mod encoders;
pub mod figures;
pub mod live;
pub mod placement;
pub mod player;
pub mod pod;
pub mod scale;

pub use audience::Audience;
pub use book::Tier;
pub use cluster::{Cluster, streams};
pub use encoders::{Encoders, Habit};
pub use figures::row;
pub use live::Live;

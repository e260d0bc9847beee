//! HLS: streams as playlists and segments.
//!
//! Owns what there is of HLS in the process. At an origin the packager makes segments of the streams that are published
//! here, and keeps them in memory and, where a directory is named, on disk. The HTTP server asks a [`Library`] for what
//! players want; an edge has one of its own, which asks the origins. Live players never wait for anything here.

mod cutter;
mod disk;
pub mod library;
mod memory;
mod numbers;
pub mod origin;
mod packager;
mod packer;
mod program_clock;
pub mod resource;
mod segment;
mod shelf;
mod window;
mod writer;

pub use library::{Absent, Freshness, Library, MediaType, Object};
pub use origin::{OriginLibrary, SpawnOnShard};
pub use resource::{File, Resource};

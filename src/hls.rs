//! HLS: streams as playlists and segments.
//!
//! Owns what there is of HLS in the process. At an origin the packager makes segments of the streams that are published
//! here, and keeps them in memory and, where a directory is named, on disk. The HTTP server asks a [`Library`] for what
//! players want; an edge has one of its own, which asks the origins. Live players never wait for anything here.

pub mod library;
pub mod resource;

pub use library::{Absent, Freshness, Library, MediaType, Object};
pub use resource::{File, Resource};

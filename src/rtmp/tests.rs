//! The layer as a whole: our two sessions against each other, against rml_rtmp's as foreign peers, and against bytes that
//! mean harm.

mod back_to_back;
mod foreign;
mod hostile;
pub(super) mod support;

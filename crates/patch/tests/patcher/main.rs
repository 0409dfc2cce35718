//! The patcher on a host of mock memories: patches in place, values and routines that run full, and
//! copies that come and go.

mod full;
mod host;
mod model;
mod placing;
mod ranges;

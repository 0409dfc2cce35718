//! The scheduler drives a simulated machine.

mod fairness;
mod machine;
mod properties;

//! The virtual hart against the privileged specification, statement by statement.

mod csrs;
mod instructions;
mod support;
mod traps;
mod warl;

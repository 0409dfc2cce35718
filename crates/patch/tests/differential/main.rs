//! Every routine that the maker can emit gives the same state as the reference emulator.
//!
//! Routines run in an interpreter of their own ([`interpreter`]) on states as the gate leaves them
//! ([`state`]); what they leave is compared with what `vcpu` makes of the same instruction, and with
//! what the monitor relies on beside that ([`check`]).

mod check;
mod costs;
mod exhaustive;
mod faults;
#[path = "../interpreter/mod.rs"]
mod interpreter;
mod random;
mod state;
mod words;

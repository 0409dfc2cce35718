//! The virtual hart and the reference emulator.
//!
//! The hart is state ([`Hart`]) and rules; there is no hardware here. The emulator carries out the
//! privileged instructions as the privileged specification says, and is what every faster way
//! of executing them is compared with. It decides nothing that reaches beyond the hart: what
//! remains to be done (a fence, a wait) it hands back as an [`Effect`].
#![no_std]
#![forbid(unsafe_code)]

mod csr_file;
mod execute;
pub mod refused;
mod state;
mod trap;
pub mod warl;

pub use csr_file::{Counters, Illegal};
pub use execute::Effect;
pub use state::{Features, Hart, Mode};
pub use trap::{Cause, Trap};

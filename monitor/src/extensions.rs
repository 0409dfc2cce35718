//! The registers of the F, D and V extensions of a virtual hart that another takes the place of.
//!
//! The monitor uses none of them itself: they stay in the hardware from one exit to the next.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::csr;
use isa::csr::sstatus;

core::arch::global_asm!(include_str!("extensions.S"));

unsafe extern "C" {
    fn save_float(to: *mut u64);
    fn load_float(from: *const u64);
    fn save_vector(to: *mut u64);
    fn load_vector(from: *const u64);
    fn vector_bytes() -> usize;
}

/// f0 to f31 and `fcsr`.
const FLOAT: usize = 33;
/// `vstart`, `vcsr`, `vl` and `vtype`, before the registers.
const VECTOR: usize = 4;

/// What one virtual hart has in them.
#[derive(Debug)]
pub struct Extensions {
    /// The fields of `sstatus` that the host has.
    fields: u64,
    float: Box<[u64; FLOAT]>,
    vector: Vec<u64>,
}

impl Extensions {
    /// All zeroes, for a host that has these fields (FS, VS) of `sstatus`.
    pub fn new(fields: u64) -> Self {
        let mut vector = Vec::new();
        if fields & sstatus::VS != 0 {
            enable(fields);
            // SAFETY: reads `vlenb`, which there is.
            let bytes = unsafe { vector_bytes() };
            vector = alloc::vec![0; VECTOR + 32 * bytes.div_ceil(8)];
        }
        Self {
            fields,
            float: Box::new([0; FLOAT]),
            vector,
        }
    }

    /// Keeps what the hardware has.
    pub fn save(&mut self) {
        enable(self.fields);
        if self.fields & sstatus::FS != 0 {
            // SAFETY: the registers are there, switched on, and fit.
            unsafe { save_float(self.float.as_mut_ptr()) };
        }
        if self.fields & sstatus::VS != 0 {
            // SAFETY: as above.
            unsafe { save_vector(self.vector.as_mut_ptr()) };
        }
    }

    /// Gives it back to the hardware.
    pub fn load(&self) {
        enable(self.fields);
        if self.fields & sstatus::FS != 0 {
            // SAFETY: as for `save`; the monitor has nothing in these registers.
            unsafe { load_float(self.float.as_ptr()) };
        }
        if self.fields & sstatus::VS != 0 {
            // SAFETY: as above.
            unsafe { load_vector(self.vector.as_ptr()) };
        }
    }
}

/// Switches the registers on. [`leave`](super::machine::Machine::leave) sets the fields as the guest has
/// them.
fn enable(fields: u64) {
    // SAFETY: the fields say whether registers may be used that are none of the monitor's.
    unsafe { csr::set!("sstatus", fields) };
}

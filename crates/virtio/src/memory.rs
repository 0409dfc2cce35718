//! The guest's memory, as a device reaches it.

use isa::address::GuestPhys;

/// The guest's memory, as a device reaches it. Harts of the guest may change it at any time, so every
/// method is one copy or one access, and nothing is read twice that is decided upon.
///
/// Every method returns false or `None`, and does nothing, when not all of the bytes are RAM.
pub trait Memory {
    /// Whether all of `[at, at + size)` is RAM.
    fn contains(&self, at: GuestPhys, size: u64) -> bool;

    /// Reads into `buffer`.
    #[must_use]
    fn read(&self, at: GuestPhys, buffer: &mut [u8]) -> bool;

    /// Writes `bytes`.
    #[must_use]
    fn write(&mut self, at: GuestPhys, bytes: &[u8]) -> bool;

    /// Reads the 16 bits at `at`, a multiple of 2, in one access that no later access of the device
    /// overtakes (acquire).
    fn load_u16(&self, at: GuestPhys) -> Option<u16>;

    /// Writes the 16 bits at `at`, a multiple of 2, in one access that overtakes no earlier one
    /// (release).
    #[must_use]
    fn store_u16(&mut self, at: GuestPhys, value: u16) -> bool;

    /// Orders all accesses before it before all after it, stores before loads among them.
    fn fence(&self);

    /// Says that a back end has written `[at, at + size)` by itself, as a physical device does.
    fn written(&mut self, at: GuestPhys, size: u64);
}

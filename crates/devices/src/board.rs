//! The board: which device answers at a guest-physical address, and how interrupt lines reach the
//! PLIC.

use crate::layout::{self, MOST_HARTS, Window};
use crate::plic::Plic;
use crate::rtc::Rtc;
use crate::syscon;
use crate::uart::Uart;
use alloc::vec::Vec;
use isa::address::GuestPhys;

/// No device takes this access: the hart gets an access fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoDevice;

/// What a write asks the monitor to do with the whole VM.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// Nothing: the guest goes on.
    None,
    /// End the VM, with this exit code.
    PowerOff {
        /// 0 for success.
        code: u16,
    },
    /// Start the VM again from power-on.
    Reset,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Device {
    Syscon,
    Rtc,
    Plic,
    Uart,
}

/// The memory map.
const MAP: [(Window, Device); 4] = [
    (layout::UART, Device::Uart),
    (layout::PLIC, Device::Plic),
    (layout::SYSCON, Device::Syscon),
    (layout::RTC, Device::Rtc),
];

/// All devices of one VM.
#[derive(Clone, Debug)]
pub struct Board {
    uart: Uart,
    plic: Plic,
    rtc: Rtc,
}

impl Board {
    /// A board for this many harts, as it is at power-on.
    ///
    /// # Panics
    /// When `harts` exceeds [`MOST_HARTS`].
    #[must_use]
    pub fn new(harts: usize) -> Self {
        debug_assert!((1..=MOST_HARTS).contains(&harts));
        Self {
            uart: Uart::new(),
            plic: Plic::new(harts),
            rtc: Rtc::default(),
        }
    }

    /// Resets every device. Output that was not yet taken stays.
    pub fn reset(&mut self) {
        self.uart.reset();
        self.plic.reset();
        self.rtc.reset();
    }

    /// Carries out a load of `width` bytes (1, 2, 4 or 8) at `at`. The value is zero-extended.
    ///
    /// # Errors
    /// [`NoDevice`] where the hart gets a load access fault. Parts of a misaligned access that
    /// came before the part that faults have had their side effects.
    pub fn read(&mut self, at: GuestPhys, width: u8) -> Result<u64, NoDevice> {
        let mut value = 0;
        for (address, shift, part) in aligned_parts(at, width) {
            value |= self.read_aligned(address, part)? << shift;
        }
        Ok(value)
    }

    /// Carries out a store of the low `width` bytes (1, 2, 4 or 8) of `value` at `at`.
    ///
    /// # Errors
    /// [`NoDevice`] where the hart gets a store access fault, as for [`Board::read`].
    pub fn write(&mut self, at: GuestPhys, width: u8, value: u64) -> Result<Request, NoDevice> {
        for (address, shift, part) in aligned_parts(at, width) {
            let request = self.write_aligned(address, part, value >> shift)?;
            if request != Request::None {
                return Ok(request);
            }
        }
        Ok(Request::None)
    }

    /// Whether the external interrupt of `hart`'s S-mode (`sip.SEIP`) is up.
    #[must_use]
    pub fn external_pending(&self, hart: usize) -> bool {
        self.plic.context_pending(Plic::supervisor_context(hart))
    }

    /// A device that is not on this board says that its interrupt line is up, for the first time or again.
    pub fn raise(&mut self, source: u32) {
        self.plic.raise(source);
    }

    /// Takes a byte that was typed. `false`: the UART has no room for it now; offer it again.
    #[must_use = "a byte that is not accepted must be offered again"]
    pub fn receive(&mut self, byte: u8) -> bool {
        let accepted = self.uart.receive(byte);
        self.pass_interrupts();
        accepted
    }

    /// Takes a BREAK of the line, as [`Board::receive`] takes a byte.
    #[must_use = "a BREAK that is not accepted must be offered again"]
    pub fn receive_break(&mut self) -> bool {
        let accepted = self.uart.receive_break();
        self.pass_interrupts();
        accepted
    }

    /// A byte that the UART has received and the guest has not read, for firmware that reads the same
    /// UART; the oldest.
    pub fn take_received(&mut self) -> Option<u8> {
        let byte = self.uart.take_received();
        self.pass_interrupts();
        byte
    }

    /// Whether [`Board::take_output`] has anything to give.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.uart.has_output()
    }

    /// The bytes that the guest sent since this was last called, oldest first.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.uart.take_output()
    }

    /// Tells the real-time clock the time, in nanoseconds since 1970.
    pub fn set_time(&mut self, now: u64) {
        self.rtc.set_time(now);
        self.pass_interrupts();
    }

    /// The time at which [`Board::set_time`] is wanted next, for the alarm of the real-time clock.
    #[must_use]
    pub fn next_alarm(&self) -> Option<u64> {
        self.rtc.next_alarm()
    }

    fn read_aligned(&mut self, at: GuestPhys, width: u8) -> Result<u64, NoDevice> {
        let (device, offset) = match find(at, width)? {
            Found::Device(device, offset) => (device, offset),
            Found::Nothing(byte) => return Ok(u64::from_le_bytes([byte; 8]) & mask(width)),
        };
        let value = match device {
            Device::Uart => u64::from(self.uart.read(offset as u8)),
            Device::Plic => return Ok(u64::from(self.plic.read(offset))),
            Device::Syscon => 0,
            Device::Rtc => {
                let low = u64::from(self.rtc.read(offset));
                match width {
                    8 => u64::from(self.rtc.read(offset + 4)) << 32 | low,
                    _ => low,
                }
            }
        };
        self.pass_interrupts();
        Ok(value)
    }

    fn write_aligned(&mut self, at: GuestPhys, width: u8, value: u64) -> Result<Request, NoDevice> {
        let (device, offset) = match find(at, width)? {
            Found::Device(device, offset) => (device, offset),
            Found::Nothing(_) => return Ok(Request::None),
        };
        match device {
            Device::Uart => self.uart.write(offset as u8, value as u8),
            Device::Plic => self.plic.write(offset, value as u32),
            Device::Syscon => return Ok(syscon::write(offset, value & mask(width))),
            Device::Rtc => {
                self.rtc.write(offset, value as u32);
                if width == 8 {
                    self.rtc.write(offset + 4, (value >> 32) as u32);
                }
            }
        }
        self.pass_interrupts();
        Ok(Request::None)
    }

    /// Passes the devices' interrupts on to the PLIC.
    fn pass_interrupts(&mut self) {
        if self.uart.take_raised() {
            self.plic.raise(layout::UART_INTERRUPT);
        }
        if self.rtc.take_raised() {
            self.plic.raise(layout::RTC_INTERRUPT);
        }
    }
}

fn mask(width: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(width))
}

/// What takes an access.
enum Found {
    /// A device, at this offset.
    Device(Device, u64),
    /// A place where every byte is this.
    Nothing(u8),
}

/// What takes an aligned access.
fn find(at: GuestPhys, width: u8) -> Result<Found, NoDevice> {
    let device = MAP
        .iter()
        .find_map(|(window, device)| Some(Found::Device(*device, window.takes(at, width)?)));
    let nothing = || {
        let mut places = layout::NOTHING.iter();
        places.find_map(|place| place.window.takes(at, width).map(|_| place.byte))
    };
    device
        .or_else(|| nothing().map(Found::Nothing))
        .ok_or(NoDevice)
}

/// Cuts an access into naturally aligned ones, lowest address first: (address, bit position of
/// the part in the value, bytes). This is what QEMU makes of a misaligned access to a device.
///
/// # Panics
/// When `width` is not 1, 2, 4 or 8.
pub fn aligned_parts(at: GuestPhys, width: u8) -> impl Iterator<Item = (GuestPhys, u32, u8)> {
    assert!(
        matches!(width, 1 | 2 | 4 | 8),
        "no access is {width} bytes wide"
    );
    let mut done = 0;
    core::iter::from_fn(move || {
        let left = width - done;
        if left == 0 {
            return None;
        }
        let address = at.add(u64::from(done));
        let alignment = (address.0 | 8).trailing_zeros();
        let part = 1 << alignment.min(left.trailing_zeros());
        let shift = 8 * u32::from(done);
        done += part;
        Some((address, shift, part))
    })
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;

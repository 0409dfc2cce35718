//! The board: which device answers at a guest-physical address, and how interrupt lines reach the
//! PLIC.

use crate::layout::{self, MOST_HARTS, Window};
use crate::plic::Plic;
use crate::rtc::Rtc;
use crate::syscon;
use crate::uart::Uart;
use alloc::vec::Vec;
use isa::address::GuestPhys;

/// What a board is made of.
#[derive(Clone, Copy, Debug)]
pub struct BoardConfig {
    /// Harts, 1 to [`MOST_HARTS`].
    pub harts: usize,
    /// Whether there is a real-time clock. Offer one only when the time of day is known.
    pub rtc: bool,
}

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
    rtc: Option<Rtc>,
}

impl Board {
    /// A board as it is at power-on.
    ///
    /// # Panics
    /// When `config.harts` exceeds [`MOST_HARTS`].
    #[must_use]
    pub fn new(config: &BoardConfig) -> Self {
        debug_assert!((1..=MOST_HARTS).contains(&config.harts));
        Self {
            uart: Uart::new(),
            plic: Plic::new(config.harts),
            rtc: config.rtc.then(Rtc::default),
        }
    }

    /// Resets every device. Output that was not yet taken stays.
    pub fn reset(&mut self) {
        self.uart.reset();
        self.plic.reset();
        if let Some(rtc) = &mut self.rtc {
            rtc.reset();
        }
        self.update_levels();
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

    /// Raises or lowers the interrupt line of a device that is not on this board.
    pub fn set_interrupt(&mut self, source: u32, up: bool) {
        self.plic.set_level(source, up);
    }

    /// Takes a byte that was typed. `false`: the UART has no room for it now; offer it again.
    #[must_use = "a byte that is not accepted must be offered again"]
    pub fn receive(&mut self, byte: u8) -> bool {
        let accepted = self.uart.receive(byte);
        self.update_levels();
        accepted
    }

    /// A byte that the UART has received and the guest has not read, for firmware that reads the same
    /// UART; the oldest.
    pub fn take_received(&mut self) -> Option<u8> {
        let byte = self.uart.take_received();
        self.update_levels();
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
        if let Some(rtc) = &mut self.rtc {
            rtc.set_time(now);
            self.update_levels();
        }
    }

    /// The time at which [`Board::set_time`] is wanted next, for the alarm of the real-time clock.
    #[must_use]
    pub fn next_alarm(&self) -> Option<u64> {
        self.rtc.as_ref()?.next_alarm()
    }

    fn read_aligned(&mut self, at: GuestPhys, width: u8) -> Result<u64, NoDevice> {
        let (device, offset) = find(at, width)?;
        let value = match device {
            Device::Uart => u64::from(self.uart.read(offset as u8)),
            Device::Plic => return Ok(u64::from(self.plic.read(offset))),
            Device::Syscon => 0,
            Device::Rtc => u64::from(self.rtc.as_mut().ok_or(NoDevice)?.read(offset)),
        };
        self.update_levels();
        Ok(value)
    }

    fn write_aligned(&mut self, at: GuestPhys, width: u8, value: u64) -> Result<Request, NoDevice> {
        let (device, offset) = find(at, width)?;
        match device {
            Device::Uart => self.uart.write(offset as u8, value as u8),
            Device::Plic => self.plic.write(offset, value as u32),
            Device::Syscon => return Ok(syscon::write(offset, value & mask(width))),
            Device::Rtc => self
                .rtc
                .as_mut()
                .ok_or(NoDevice)?
                .write(offset, value as u32),
        }
        self.update_levels();
        Ok(Request::None)
    }

    /// Passes the devices' interrupt levels on to the PLIC.
    fn update_levels(&mut self) {
        self.plic
            .set_level(layout::UART_INTERRUPT, self.uart.interrupt());
        if let Some(rtc) = &self.rtc {
            self.plic.set_level(layout::RTC_INTERRUPT, rtc.interrupt());
        }
    }
}

fn mask(width: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(width))
}

/// The device that takes an aligned access, and the offset in it.
fn find(at: GuestPhys, width: u8) -> Result<(Device, u64), NoDevice> {
    let (window, device, offset) = MAP
        .iter()
        .find_map(|(window, device)| Some((window, *device, window.offset(at)?)))
        .ok_or(NoDevice)?;
    if (window.narrowest..=window.widest).contains(&width) {
        Ok((device, offset))
    } else {
        Err(NoDevice)
    }
}

/// Cuts an access into naturally aligned ones, lowest address first: (address, bit position of
/// the part in the value, bytes). This is what QEMU makes of a misaligned access to a device.
///
/// # Panics
/// When `width` is not 1, 2, 4 or 8.
fn aligned_parts(at: GuestPhys, width: u8) -> impl Iterator<Item = (GuestPhys, u32, u8)> {
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

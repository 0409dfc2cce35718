//! The system controller: what QEMU calls the SiFive test finisher, and Linux `syscon-poweroff`
//! and `syscon-reboot`. One register at offset 0; reads give 0.

use crate::board::Request;

/// Written to power off with exit code 0.
pub const POWER_OFF: u32 = 0x5555;
/// Written to reset.
pub const RESET: u32 = 0x7777;
/// Written, with the exit code in bits 16 to 31, to power off after a failure.
pub const FAIL: u32 = 0x3333;

/// What a write of `value` at byte `offset` asks for. Values that mean nothing ask for nothing.
#[must_use]
pub fn write(offset: u64, value: u64) -> Request {
    if offset != 0 {
        return Request::None;
    }
    let [low, high] = [value as u16, (value >> 16) as u16];
    match u32::from(low) {
        POWER_OFF => Request::PowerOff { code: 0 },
        FAIL => Request::PowerOff { code: high },
        RESET => Request::Reset,
        _ => Request::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finisher_value_asks_for_its_end() {
        assert_eq!(write(0, 0x5555), Request::PowerOff { code: 0 });
        assert_eq!(write(0, 0x7777), Request::Reset);
        assert_eq!(write(0, 0x002a_3333), Request::PowerOff { code: 42 });
        assert_eq!(write(0, 0xffff_3333), Request::PowerOff { code: 0xffff });
    }

    #[test]
    fn the_exit_code_of_a_passed_test_is_zero_whatever_the_upper_half_says() {
        assert_eq!(write(0, 0x0007_5555), Request::PowerOff { code: 0 });
    }

    #[test]
    fn other_values_and_offsets_do_nothing() {
        assert_eq!(write(0, 0), Request::None);
        assert_eq!(write(0, 0x5556), Request::None);
        assert_eq!(write(4, 0x5555), Request::None);
    }
}

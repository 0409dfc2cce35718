//! A goldfish real-time clock: nanoseconds since 1970, and one alarm.
//!
//! The clock has no time source of its own: the monitor tells it the time with [`Rtc::set_time`].

/// Byte offsets of the registers, by the names of the Goldfish hardware document.
mod register {
    /// Low half of the time; reading it latches the high half, writing it sets the low half.
    pub const TIME_LOW: u64 = 0x00;
    pub const TIME_HIGH: u64 = 0x04;
    /// Low half of the alarm; writing it arms the alarm.
    pub const ALARM_LOW: u64 = 0x08;
    pub const ALARM_HIGH: u64 = 0x0c;
    pub const INTERRUPT_ENABLED: u64 = 0x10;
    pub const CLEAR_ALARM: u64 = 0x14;
    pub const ALARM_STATUS: u64 = 0x18;
    pub const CLEAR_INTERRUPT: u64 = 0x1c;
}

/// The state of one clock. Times are in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Rtc {
    /// The time as the monitor counts it.
    host_time: u64,
    /// What the guest added to it by setting the clock, modulo 2^64.
    adjustment: u64,
    latched_high: u32,
    alarm: u64,
    armed: bool,
    interrupt_enabled: bool,
    interrupt_pending: bool,
    /// The interrupt line was set and up.
    raised: bool,
}

impl Rtc {
    /// Tells the clock what time it is, in nanoseconds since 1970; an alarm that is due goes off.
    pub fn set_time(&mut self, now: u64) {
        self.host_time = now;
        self.check_alarm();
    }

    /// Forgets the alarm; the time that the guest set stays, as a battery keeps it.
    pub fn reset(&mut self) {
        *self = Self {
            host_time: self.host_time,
            adjustment: self.adjustment,
            ..Self::default()
        };
    }

    /// When to call [`Rtc::set_time`] for the alarm's sake, in the time that it is told in.
    #[must_use]
    pub fn next_alarm(&self) -> Option<u64> {
        // It may be beyond the end of the host's time, whose difference to the guest's is anything.
        let left = self.alarm.saturating_sub(self.time());
        self.armed.then(|| self.host_time.saturating_add(left))
    }

    /// Whether the interrupt line is up.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        self.interrupt_enabled && self.interrupt_pending
    }

    /// Whether the interrupt line was set and up since this was last called, as
    /// [`crate::uart::Uart::take_raised`] has it: when the alarm goes off, and with each write that enables
    /// interrupts.
    pub fn take_raised(&mut self) -> bool {
        core::mem::take(&mut self.raised)
    }

    /// Reads the 32-bit register at byte `offset`; 0 where there is none.
    pub fn read(&mut self, offset: u64) -> u32 {
        match offset {
            register::TIME_LOW => {
                let time = self.time();
                self.latched_high = high(time);
                time as u32
            }
            register::TIME_HIGH => self.latched_high,
            register::ALARM_LOW => self.alarm as u32,
            register::ALARM_HIGH => high(self.alarm),
            register::INTERRUPT_ENABLED => u32::from(self.interrupt_enabled),
            register::ALARM_STATUS => u32::from(self.armed),
            _ => 0,
        }
    }

    /// Writes the 32-bit register at byte `offset`; nothing happens where there is none.
    pub fn write(&mut self, offset: u64, value: u32) {
        let time = self.time();
        match offset {
            register::TIME_LOW => self.set_guest_time(joined(high(time), value)),
            register::TIME_HIGH => self.set_guest_time(joined(value, time as u32)),
            register::ALARM_LOW => {
                self.alarm = joined(high(self.alarm), value);
                self.armed = true;
                self.check_alarm();
            }
            register::ALARM_HIGH => self.alarm = joined(value, self.alarm as u32),
            register::INTERRUPT_ENABLED => {
                self.interrupt_enabled = value & 1 != 0;
                self.raised |= self.interrupt();
            }
            register::CLEAR_ALARM => self.armed = false,
            register::CLEAR_INTERRUPT => self.interrupt_pending = false,
            _ => {}
        }
    }

    fn time(&self) -> u64 {
        self.host_time.wrapping_add(self.adjustment)
    }

    fn set_guest_time(&mut self, time: u64) {
        self.adjustment = time.wrapping_sub(self.host_time);
        self.check_alarm();
    }

    fn check_alarm(&mut self) {
        if self.armed && self.alarm <= self.time() {
            self.armed = false;
            self.interrupt_pending = true;
            self.raised |= self.interrupt();
        }
    }
}

const fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

fn joined(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_123_456_789;

    fn set_alarm(rtc: &mut Rtc, at: u64) {
        rtc.write(register::ALARM_HIGH, high(at));
        rtc.write(register::ALARM_LOW, at as u32);
    }

    fn read_time(rtc: &mut Rtc) -> u64 {
        let low = rtc.read(register::TIME_LOW);
        joined(rtc.read(register::TIME_HIGH), low)
    }

    #[test]
    fn the_high_half_is_that_of_the_moment_the_low_half_was_read() {
        let mut rtc = Rtc::default();
        rtc.set_time(0x1_ffff_ffff);
        assert_eq!(rtc.read(register::TIME_LOW), 0xffff_ffff);
        rtc.set_time(0x2_0000_0000);
        assert_eq!(rtc.read(register::TIME_HIGH), 1);
    }

    #[test]
    fn the_guest_can_set_the_clock_and_it_goes_on_from_there() {
        let mut rtc = Rtc::default();
        rtc.set_time(NOW);
        rtc.write(register::TIME_HIGH, 5);
        rtc.write(register::TIME_LOW, 6);
        assert_eq!(read_time(&mut rtc), joined(5, 6));
        rtc.set_time(NOW + 100);
        assert_eq!(read_time(&mut rtc), joined(5, 106));
    }

    #[test]
    fn an_alarm_interrupts_when_its_time_has_come_and_interrupts_are_enabled() {
        let mut rtc = Rtc::default();
        rtc.set_time(NOW);
        rtc.write(register::INTERRUPT_ENABLED, 1);
        set_alarm(&mut rtc, NOW + 10);
        assert_eq!(rtc.next_alarm(), Some(NOW + 10));
        assert_eq!(rtc.read(register::ALARM_STATUS), 1);
        rtc.set_time(NOW + 9);
        assert!(!rtc.interrupt());
        rtc.set_time(NOW + 10);
        assert!(rtc.interrupt());
        assert_eq!(rtc.next_alarm(), None);
        assert_eq!(rtc.read(register::ALARM_STATUS), 0);
        rtc.write(register::INTERRUPT_ENABLED, 0);
        assert!(!rtc.interrupt());
        assert!(rtc.take_raised() && !rtc.take_raised());
        rtc.write(register::INTERRUPT_ENABLED, 1);
        assert!(rtc.take_raised());
        rtc.write(register::CLEAR_INTERRUPT, 1);
        assert!(!rtc.interrupt() && !rtc.take_raised());
    }

    #[test]
    fn an_alarm_in_the_past_goes_off_at_once_and_a_cleared_one_never() {
        let mut rtc = Rtc::default();
        rtc.set_time(NOW);
        rtc.write(register::INTERRUPT_ENABLED, 1);
        set_alarm(&mut rtc, NOW + 10);
        rtc.write(register::CLEAR_ALARM, 1);
        rtc.set_time(NOW + 20);
        assert!(!rtc.interrupt());
        set_alarm(&mut rtc, NOW);
        assert!(rtc.interrupt());
        assert_eq!(rtc.read(register::ALARM_LOW), NOW as u32);
        assert_eq!(rtc.read(register::ALARM_HIGH), high(NOW));
    }

    #[test]
    fn an_alarm_beyond_the_end_of_the_host_s_time_is_due_at_that_end() {
        let mut rtc = Rtc::default();
        rtc.set_time(NOW);
        rtc.write(register::TIME_HIGH, 0);
        rtc.write(register::TIME_LOW, 10);
        set_alarm(&mut rtc, u64::MAX);
        assert_eq!(rtc.next_alarm(), Some(u64::MAX));
        // The high half alone does not look at the time.
        rtc.write(register::TIME_LOW, 1 << 20);
        set_alarm(&mut rtc, 1 << 32 | 5);
        rtc.write(register::ALARM_HIGH, 0);
        assert_eq!(rtc.next_alarm(), Some(NOW));
    }

    #[test]
    fn reset_drops_the_alarm_and_keeps_the_time() {
        let mut rtc = Rtc::default();
        rtc.set_time(NOW);
        rtc.write(register::TIME_HIGH, 9);
        rtc.write(register::INTERRUPT_ENABLED, 1);
        set_alarm(&mut rtc, 0);
        rtc.reset();
        assert!(!rtc.interrupt());
        assert_eq!(read_time(&mut rtc) >> 32, 9);
    }
}

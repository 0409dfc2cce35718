//! The platform-level interrupt controller, with the register layout of the RISC-V PLIC
//! specification 1.0 and two contexts for each hart, as QEMU's `virt` has them: context 2h is hart
//! h's M-mode context, which a guest has no use for, context 2h + 1 is its S-mode context.
//!
//! Sources are pending when their device raises them, while they are claimed too, and until they are
//! claimed, even when the device's line has fallen. A line that is still up at completion is **not**
//! pending again: so it is on QEMU, where a line counts when its device sets it, and there a handler
//! works that completes an interrupt without looking at its device. The specification's gateway would
//! interrupt that handler for ever.

use crate::layout::{HIGHEST_PRIORITY, INTERRUPT_SOURCES, MOST_HARTS};
use alloc::vec;
use alloc::vec::Vec;

/// 32-bit words that hold a bit for each source.
const WORDS: usize = INTERRUPT_SOURCES.div_ceil(32) as usize;
/// A bit for each source.
type Sources = [u32; WORDS];

const PRIORITY: u64 = 0;
const PENDING: u64 = 0x1000;
const ENABLE: u64 = 0x2000;
const ENABLE_STRIDE: u64 = 0x80;
const CONTEXT: u64 = 0x20_0000;
const CONTEXT_STRIDE: u64 = 0x1000;

/// What a register offset stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Register {
    Priority(usize),
    Pending(usize),
    Enable { context: usize, word: usize },
    Threshold(usize),
    Claim(usize),
}

#[derive(Clone, Debug, Default)]
struct Context {
    enabled: Sources,
    threshold: u32,
}

/// The state of one PLIC.
#[derive(Clone, Debug)]
pub struct Plic {
    priority: [u32; INTERRUPT_SOURCES as usize],
    pending: Sources,
    /// Sources between their claim and their completion.
    claimed: Sources,
    contexts: Vec<Context>,
}

impl Plic {
    /// A PLIC for this many harts, as it is after reset.
    ///
    /// # Panics
    /// When the contexts of so many harts do not fit into the register window ([`MOST_HARTS`]).
    #[must_use]
    pub fn new(harts: usize) -> Self {
        assert!(
            harts <= MOST_HARTS,
            "the PLIC has room for {MOST_HARTS} harts"
        );
        Self {
            priority: [0; INTERRUPT_SOURCES as usize],
            pending: [0; WORDS],
            claimed: [0; WORDS],
            contexts: vec![Context::default(); 2 * harts],
        }
    }

    /// The number of hart `hart`'s S-mode context.
    #[must_use]
    pub const fn supervisor_context(hart: usize) -> usize {
        2 * hart + 1
    }

    /// Resets everything.
    pub fn reset(&mut self) {
        *self = Self::new(self.contexts.len() / 2);
    }

    /// A device says that the interrupt line of `source` is up, for the first time or again. Source 0 and
    /// numbers past the last have no line.
    pub fn raise(&mut self, source: u32) {
        if (1..INTERRUPT_SOURCES).contains(&source) {
            set_bit(&mut self.pending, source, true);
        }
    }

    /// Whether `context` has an interrupt to claim: some source is pending and not claimed, enabled for it,
    /// and of a priority above its threshold. That follows a write of `enable` at once, as the
    /// specification has it; on QEMU the hart hears of one only with the next event of any source, and so
    /// may wait for an interrupt that was there when it enabled it.
    #[must_use]
    pub fn context_pending(&self, context: usize) -> bool {
        self.contexts
            .get(context)
            .is_some_and(|context| self.best(context) != 0)
    }

    /// Reads the 32-bit register at byte `offset`; a claim register claims. Offsets with no
    /// register read as 0.
    pub fn read(&mut self, offset: u64) -> u32 {
        match self.register(offset) {
            Some(Register::Priority(source)) => self.priority[source],
            Some(Register::Pending(word)) => self.pending[word],
            Some(Register::Enable { context, word }) => self.contexts[context].enabled[word],
            Some(Register::Threshold(context)) => self.contexts[context].threshold,
            Some(Register::Claim(context)) => self.claim(context),
            None => 0,
        }
    }

    /// Writes the 32-bit register at byte `offset`; a claim register completes. Offsets with no
    /// register, and pending bits, ignore writes.
    pub fn write(&mut self, offset: u64, value: u32) {
        // Priorities and thresholds are WARL with HIGHEST_PRIORITY + 1 a power of two.
        let priority = value & HIGHEST_PRIORITY;
        match self.register(offset) {
            Some(Register::Priority(source)) => self.priority[source] = priority,
            Some(Register::Enable { context, word }) => {
                // The bit of source 0, which does not exist, holds what is written, as on QEMU.
                self.contexts[context].enabled[word] = value;
            }
            Some(Register::Threshold(context)) => self.contexts[context].threshold = priority,
            Some(Register::Claim(_)) => self.complete(value),
            Some(Register::Pending(_)) | None => {}
        }
    }

    fn register(&self, offset: u64) -> Option<Register> {
        let index = |from: u64, stride: u64| ((offset - from) / stride) as usize;
        match offset {
            PRIORITY..PENDING => {
                let source = index(PRIORITY, 4);
                (1..self.priority.len())
                    .contains(&source)
                    .then_some(Register::Priority(source))
            }
            PENDING..ENABLE => {
                let word = index(PENDING, 4);
                (word < WORDS).then_some(Register::Pending(word))
            }
            ENABLE..CONTEXT => {
                let context = index(ENABLE, ENABLE_STRIDE);
                let word = (offset % ENABLE_STRIDE / 4) as usize;
                (context < self.contexts.len() && word < WORDS)
                    .then_some(Register::Enable { context, word })
            }
            CONTEXT.. => {
                let context = index(CONTEXT, CONTEXT_STRIDE);
                match offset % CONTEXT_STRIDE {
                    _ if context >= self.contexts.len() => None,
                    0 => Some(Register::Threshold(context)),
                    4 => Some(Register::Claim(context)),
                    _ => None,
                }
            }
        }
    }

    /// The source that a claim by `context` gives: the highest priority above the threshold, the
    /// lowest number among equals, 0 for none.
    fn best(&self, context: &Context) -> u32 {
        let mut best = 0;
        let mut above = context.threshold;
        let waiting = self.pending.iter().zip(self.claimed);
        let waiting = waiting.map(|(pending, claimed)| pending & !claimed);
        for (word, (waiting, enabled)) in waiting.zip(context.enabled).enumerate() {
            let mut candidates = waiting & enabled;
            while candidates != 0 {
                let source = word as u32 * 32 + candidates.trailing_zeros();
                candidates &= candidates - 1;
                let priority = self.priority[source as usize];
                if priority > above {
                    (best, above) = (source, priority);
                }
            }
        }
        best
    }

    fn claim(&mut self, context: usize) -> u32 {
        let source = self.best(&self.contexts[context]);
        if source != 0 {
            set_bit(&mut self.pending, source, false);
            set_bit(&mut self.claimed, source, true);
        }
        source
    }

    /// The specification ignores completions of sources that are not enabled for the context;
    /// QEMU's takes them from any, and so does this one: a guest that masks an interrupt before it
    /// completes it keeps getting it.
    fn complete(&mut self, source: u32) {
        if source < INTERRUPT_SOURCES {
            set_bit(&mut self.claimed, source, false);
        }
    }
}

fn set_bit(sources: &mut Sources, source: u32, up: bool) {
    let bit = 1 << (source % 32);
    let word = &mut sources[(source / 32) as usize];
    *word = if up { *word | bit } else { *word & !bit };
}

#[cfg(test)]
mod tests {
    use super::*;

    const S0: usize = Plic::supervisor_context(0);

    fn enable(plic: &mut Plic, context: usize, source: u32, priority: u32) {
        plic.write(u64::from(source) * 4, priority);
        let offset = ENABLE + context as u64 * ENABLE_STRIDE + u64::from(source / 32) * 4;
        let word = plic.read(offset);
        plic.write(offset, word | 1 << (source % 32));
    }

    fn claim_register(context: usize) -> u64 {
        CONTEXT + context as u64 * CONTEXT_STRIDE + 4
    }

    fn threshold_register(context: usize) -> u64 {
        CONTEXT + context as u64 * CONTEXT_STRIDE
    }

    #[test]
    fn a_source_is_claimed_once_for_each_time_that_it_was_raised() {
        let mut plic = Plic::new(1);
        enable(&mut plic, S0, 10, 1);
        assert!(!plic.context_pending(S0));
        plic.raise(10);
        assert!(plic.context_pending(S0));
        assert_eq!(plic.read(PENDING), 1 << 10);
        assert_eq!(plic.read(claim_register(S0)), 10);
        assert!(!plic.context_pending(S0));
        assert_eq!(plic.read(PENDING), 0);
        assert_eq!(plic.read(claim_register(S0)), 0);
        plic.write(claim_register(S0), 10);
        assert!(!plic.context_pending(S0));
        plic.raise(10);
        assert_eq!(plic.read(claim_register(S0)), 10);
    }

    #[test]
    fn what_is_raised_during_service_is_pending_at_once_and_claimed_after_completion() {
        let mut plic = Plic::new(1);
        enable(&mut plic, S0, 10, 1);
        plic.raise(10);
        assert_eq!(plic.read(claim_register(S0)), 10);
        plic.raise(10);
        assert_eq!(plic.read(PENDING), 1 << 10);
        assert!(!plic.context_pending(S0));
        assert_eq!(plic.read(claim_register(S0)), 0);
        plic.write(claim_register(S0), 10);
        assert!(plic.context_pending(S0));
        assert_eq!(plic.read(claim_register(S0)), 10);
        plic.write(claim_register(S0), 10);
        assert!(!plic.context_pending(S0));
    }

    #[test]
    fn a_pending_interrupt_follows_enable_at_once() {
        let mut plic = Plic::new(1);
        plic.raise(10);
        assert!(!plic.context_pending(S0));
        enable(&mut plic, S0, 10, 1);
        assert!(plic.context_pending(S0));
        plic.write(ENABLE + ENABLE_STRIDE, 0);
        assert!(!plic.context_pending(S0));
    }

    #[test]
    fn the_highest_priority_wins_and_the_lowest_number_among_equals() {
        let mut plic = Plic::new(1);
        for (source, priority) in [(40, 3), (7, 2), (33, 3), (95, 7)] {
            enable(&mut plic, S0, source, priority);
            plic.raise(source);
        }
        let order: Vec<u32> = (0..5).map(|_| plic.read(claim_register(S0))).collect();
        assert_eq!(order, [95, 33, 40, 7, 0]);
    }

    #[test]
    fn a_threshold_masks_priorities_up_to_itself() {
        let mut plic = Plic::new(1);
        enable(&mut plic, S0, 5, 3);
        plic.raise(5);
        for (threshold, pending) in [(2, true), (3, false), (7, false), (0, true)] {
            plic.write(threshold_register(S0), threshold);
            assert_eq!(plic.context_pending(S0), pending, "threshold {threshold}");
        }
    }

    #[test]
    fn priority_zero_never_interrupts() {
        let mut plic = Plic::new(1);
        enable(&mut plic, S0, 5, 0);
        plic.raise(5);
        assert!(!plic.context_pending(S0));
    }

    #[test]
    fn contexts_are_enabled_apart_and_share_the_claim() {
        let mut plic = Plic::new(2);
        let s1 = Plic::supervisor_context(1);
        enable(&mut plic, S0, 8, 1);
        plic.raise(8);
        assert!(!plic.context_pending(s1));
        enable(&mut plic, s1, 8, 1);
        assert!(plic.context_pending(s1));
        assert_eq!(plic.read(claim_register(s1)), 8);
        assert!(!plic.context_pending(S0));
    }

    #[test]
    fn priorities_and_thresholds_hold_three_bits() {
        let mut plic = Plic::new(1);
        plic.write(4, 0xffff_ffff);
        plic.write(threshold_register(S0), 0x19);
        assert_eq!((plic.read(4), plic.read(threshold_register(S0))), (7, 1));
    }

    #[test]
    fn source_zero_does_not_exist() {
        let mut plic = Plic::new(1);
        plic.write(0, 7);
        plic.write(ENABLE + ENABLE_STRIDE, 0xffff_ffff);
        plic.raise(0);
        assert_eq!(plic.read(0), 0);
        assert_eq!(plic.read(PENDING), 0);
        assert_eq!(plic.read(ENABLE + ENABLE_STRIDE), 0xffff_ffff);
        assert!(!plic.context_pending(S0));
    }

    #[test]
    fn a_source_masked_before_its_completion_still_completes() {
        let mut plic = Plic::new(1);
        enable(&mut plic, S0, 10, 1);
        plic.raise(10);
        assert_eq!(plic.read(claim_register(S0)), 10);
        plic.write(ENABLE + ENABLE_STRIDE, 0);
        plic.write(claim_register(S0), 10);
        enable(&mut plic, S0, 10, 1);
        plic.raise(10);
        assert!(plic.context_pending(S0));
    }

    #[test]
    fn registers_end_where_sources_and_contexts_end() {
        let mut plic = Plic::new(1);
        for offset in [
            4 * 96,
            PENDING + 12,
            ENABLE + 12,
            ENABLE + 2 * ENABLE_STRIDE,
            CONTEXT + 8,
            CONTEXT + 2 * CONTEXT_STRIDE,
            0x5f_fffc,
        ] {
            plic.write(offset, 0xffff_ffff);
            assert_eq!(plic.read(offset), 0, "{offset:#x}");
        }
        plic.raise(96);
        plic.raise(u32::MAX);
        assert!(!plic.context_pending(S0) && !plic.context_pending(99));
    }

    #[test]
    fn reset_forgets_everything() {
        let mut plic = Plic::new(1);
        enable(&mut plic, S0, 10, 1);
        plic.raise(10);
        plic.read(claim_register(S0));
        plic.raise(10);
        plic.reset();
        assert_eq!(plic.read(PENDING), 0);
        enable(&mut plic, S0, 10, 1);
        assert!(!plic.context_pending(S0));
        plic.raise(10);
        assert_eq!(plic.read(claim_register(S0)), 10);
    }
}

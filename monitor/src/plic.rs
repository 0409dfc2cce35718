//! The host's interrupt controller.

use devices::host_tree::HostTree;
use isa::address::HostPhys;

use super::window;

/// The host's PLIC, as the hart that booted uses it.
#[derive(Clone, Debug)]
pub struct HostPlic {
    base: HostPhys,
    context: u64,
}

const PRIORITY: u64 = 0;
const ENABLE: u64 = 0x2000;
const ENABLE_STRIDE: u64 = 0x80;
const CONTEXT: u64 = 0x20_0000;
const CONTEXT_STRIDE: u64 = 0x1000;

impl HostPlic {
    /// Takes the host's PLIC, if it has one that can interrupt `hart`, and lets these sources through.
    pub fn new(tree: &HostTree, hart: u64, sources: impl Iterator<Item = u32>) -> Option<Self> {
        let described = tree.plic.as_ref()?;
        let plic = Self {
            base: described.registers.base,
            context: described.context(hart)?.into(),
        };
        let mut enabled = alloc::vec![0; described.sources as usize / 32 + 1];
        for source in sources.filter(|&source| source <= described.sources) {
            plic.write(PRIORITY + u64::from(source) * 4, 1);
            enabled[source as usize / 32] |= 1 << (source % 32);
        }
        for (word, enabled) in (0..).zip(enabled) {
            plic.write(ENABLE + plic.context * ENABLE_STRIDE + word * 4, enabled);
        }
        plic.write(CONTEXT + plic.context * CONTEXT_STRIDE, 0);
        Some(plic)
    }

    fn write(&self, offset: u64, value: u32) {
        // SAFETY: the host's device tree says that the PLIC's registers are here.
        unsafe {
            window::direct(self.base.add(offset))
                .cast::<u32>()
                .write_volatile(value)
        };
    }

    fn claim_register(&self) -> u64 {
        CONTEXT + self.context * CONTEXT_STRIDE + 4
    }

    /// The source that interrupts, which is then served until [`complete`](Self::complete).
    pub fn claim(&self) -> Option<u32> {
        // SAFETY: as for `write`.
        let source = unsafe {
            window::direct(self.base.add(self.claim_register()))
                .cast::<u32>()
                .read_volatile()
        };
        (source != 0).then_some(source)
    }

    /// Ends the service of a source.
    pub fn complete(&self, source: u32) {
        self.write(self.claim_register(), source);
    }
}

//! What can be counted.

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $index:literal,)*) => {
        /// An event that a machine may count. Its number is its `event_idx`: type in bits 16 to 19,
        /// code below.
        ///
        /// Of the firmware events those are missing that only hypervisors cause. Codes from 256
        /// are "implementation specific events"; they are this monitor's, and do not change.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[repr(u32)]
        pub enum Event {
            $($(#[$doc])* $name = $index,)*
        }

        impl Event {
            /// Every event.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its place in [`ALL`](Self::ALL).
            #[must_use]
            pub const fn place(self) -> usize {
                enum Place {
                    $($name,)*
                }
                match self {
                    $(Self::$name => Place::$name as usize,)*
                }
            }
        }
    };
}

events! {
    /// `SBI_PMU_HW_CPU_CYCLES`: what `cycle` counts.
    Cycles = 0x0_0001,
    /// `SBI_PMU_HW_INSTRUCTIONS`: what `instret` counts.
    Instructions = 0x0_0002,

    /// `SBI_PMU_FW_MISALIGNED_LOAD`: a load trapped as misaligned.
    MisalignedLoad = 0xf_0000,
    /// `SBI_PMU_FW_MISALIGNED_STORE`: a store trapped as misaligned.
    MisalignedStore = 0xf_0001,
    /// `SBI_PMU_FW_ACCESS_LOAD`: a load had an access fault.
    AccessLoad = 0xf_0002,
    /// `SBI_PMU_FW_ACCESS_STORE`: a store had an access fault.
    AccessStore = 0xf_0003,
    /// `SBI_PMU_FW_ILLEGAL_INSN`: an instruction trapped as illegal.
    IllegalInstruction = 0xf_0004,
    /// `SBI_PMU_FW_SET_TIMER`: the timer was set.
    SetTimer = 0xf_0005,
    /// `SBI_PMU_FW_IPI_SENT`: an interrupt was sent to another hart.
    IpiSent = 0xf_0006,
    /// `SBI_PMU_FW_IPI_RECEIVED`: one came from another hart.
    IpiReceived = 0xf_0007,
    /// `SBI_PMU_FW_FENCE_I_SENT`: another hart was asked for a `fence.i`.
    FenceISent = 0xf_0008,
    /// `SBI_PMU_FW_FENCE_I_RECEIVED`: another hart asked for one.
    FenceIReceived = 0xf_0009,
    /// `SBI_PMU_FW_SFENCE_VMA_SENT`: another hart was asked for an `sfence.vma` of all ASIDs.
    SfenceVmaSent = 0xf_000a,
    /// `SBI_PMU_FW_SFENCE_VMA_RECEIVED`: another hart asked for one.
    SfenceVmaReceived = 0xf_000b,
    /// `SBI_PMU_FW_SFENCE_VMA_ASID_SENT`: another hart was asked for an `sfence.vma` of an ASID.
    SfenceVmaAsidSent = 0xf_000c,
    /// `SBI_PMU_FW_SFENCE_VMA_ASID_RECEIVED`: another hart asked for one.
    SfenceVmaAsidReceived = 0xf_000d,

    /// The hart left the guest for the monitor's slow path, with a trap frame.
    SlowExit = 0xf_0100,
    /// An entry was made in a shadow page table.
    ShadowFill = 0xf_0101,
    /// The guest took an interrupt.
    Interrupt = 0xf_0102,
    /// A privileged instruction was patched.
    Patch = 0xf_0103,
}

impl Event {
    /// The event that `event_idx` and `event_data` describe. The data of all of them "is unused and
    /// all non-zero values are reserved".
    #[must_use]
    pub fn new(event_idx: u64, event_data: u64) -> Option<Self> {
        let numbered = |event: &&Self| u64::from(event.index()) == event_idx;
        let event = Self::ALL.iter().find(numbered)?;
        (event_data == 0).then_some(*event)
    }

    /// Its `event_idx`.
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }
}

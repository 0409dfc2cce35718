//! The architectural state of one virtual hart, laid out for assembly to reach.

use isa::address::GuestPhys;
use isa::csr::{senvcfg, sstatus};
use isa::reg::Reg;
use isa::satp;

use crate::warl;

/// Privilege mode of the virtual hart. Both run in the hardware's U-mode.
#[repr(u64)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// The guest's user mode.
    User = 0,
    /// The guest's supervisor mode, in which every hart starts.
    #[default]
    Supervisor = 1,
}

/// One virtual hart: integer registers, program counter, mode and the supervisor CSRs.
///
/// CSR slots always hold the value a guest would read (WARL already applied), so that a routine
/// reads a CSR with one load. The layout is `repr(C)`: the gate and the routines address the
/// slots by `offset_of!`.
///
/// While the guest runs, `x` and `pc` are stale: the live values are in the hardware. They are
/// valid whenever the monitor handles an exit with a trap frame.
#[repr(C)]
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hart {
    /// Integer registers; `x[0]` is always 0.
    pub x: [u64; 32],
    /// Address of the next instruction to execute.
    pub pc: u64,
    /// Current privilege mode.
    pub mode: Mode,
    /// `sstatus`; FS and VS are Off or Dirty, SD agrees with them, UXL is 2.
    pub sstatus: u64,
    /// `sie`.
    pub sie: u64,
    /// `sip`, every source included (SSIP, STIP, SEIP).
    pub sip: u64,
    /// `stvec`.
    pub stvec: u64,
    /// `sscratch`.
    pub sscratch: u64,
    /// `sepc`.
    pub sepc: u64,
    /// `scause`.
    pub scause: u64,
    /// `stval`.
    pub stval: u64,
    /// `satp`.
    pub satp: u64,
    /// `scounteren`.
    pub scounteren: u64,
    /// `senvcfg`.
    pub senvcfg: u64,
}

/// What the virtual hart offers, as far as it depends on the host: the writable bits of WARL CSRs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Features {
    /// Bits of `sstatus` that a guest can write (SIE, SPIE, SPP, SUM, MXR; FS and VS where the host has F and V).
    pub sstatus: u64,
    /// Writable bits of `senvcfg` (FIOM, and CBIE, CBCFE, CBZE where the host has Zicbom, Zicboz).
    pub senvcfg: u64,
    /// Writable bits of `scounteren` (at most 32).
    pub scounteren: u64,
    /// Bit `m` is set where `satp.MODE` may be `m` (0 Bare, 8 Sv39, 9 Sv48, 10 Sv57).
    pub satp_modes: u16,
    /// Whether there is Svinval.
    pub svinval: bool,
}

impl Features {
    /// Those of a host that has all there is.
    pub const ALL: Self = Self {
        sstatus: sstatus::SIE
            | sstatus::SPIE
            | sstatus::SPP
            | sstatus::SUM
            | sstatus::MXR
            | sstatus::FS
            | sstatus::VS,
        senvcfg: senvcfg::FIOM | senvcfg::CBIE | senvcfg::CBCFE | senvcfg::CBZE,
        scounteren: 0xffff_ffff,
        satp_modes: 1 << satp::BARE | 1 << satp::SV39 | 1 << satp::SV48 | 1 << satp::SV57,
        svinval: true,
    };

    /// Whether `satp.MODE` may be `mode`.
    #[must_use]
    pub const fn offers_satp_mode(&self, mode: u8) -> bool {
        mode < 16 && self.satp_modes >> mode & 1 != 0
    }
}

impl Hart {
    /// A hart about to execute the guest's first instruction: in S-mode, its id in `a0` and the
    /// device tree's address in `a1`, interrupts disabled and translation Bare, as the boot
    /// protocol wants it (SBI, "Hart State Management Extension", "Function: Hart start").
    ///
    /// What the protocol leaves open is as OpenSBI leaves it, so that nothing tells a guest apart
    /// from a machine: FS and VS are Dirty where there are such units, `stvec` is the entry
    /// point, and `scounteren` lets VU read `cycle`, `time` and `instret`.
    #[must_use]
    pub fn new(
        features: &Features,
        hart_id: u64,
        device_tree: GuestPhys,
        entry: GuestPhys,
    ) -> Hart {
        let mut hart = Hart {
            pc: entry.0,
            mode: Mode::Supervisor,
            sstatus: warl::sstatus(0, sstatus::FS | sstatus::VS, features),
            stvec: warl::stvec(0, entry.0, features),
            scounteren: warl::scounteren(0, 0b111, features),
            ..Hart::default()
        };
        hart.set_register(Reg::A0, hart_id);
        hart.set_register(Reg::A1, device_tree.0);
        hart
    }
}

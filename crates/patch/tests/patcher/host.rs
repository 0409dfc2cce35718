//! Mock memories for a patcher, strict about what is done to them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use isa::address::{GuestPhys, HostPhys, PAGE_SIZE};
use isa::csr::sstatus;
use isa::decode::decode;
use patch::pages::Pages;
use patch::patcher::Full;
use patch::routines::ExecutableMemory;
use patch::{Maker, Memory, Patch, Patcher, Placed};
use vcpu::Features;

pub const RAM: GuestPhys = GuestPhys(0x8000_0000);
const COPIES: u64 = 0x1_0000_0000;
const CODE: u64 = 0xffff_ffc0_3000_0000;

pub const CSRCI_SSTATUS: u32 = 0x1001_7073;
pub const CSRR_A0_SCAUSE: u32 = 0x1420_2573;
pub const SRET: u32 = 0x1020_0073;
pub const WFI: u32 = 0x1050_0073;
pub const ECALL: u32 = 0x0000_0073;

pub const MAKER: Maker = Maker {
    features: Features {
        sstatus: sstatus::SIE | sstatus::SPIE | sstatus::SPP | sstatus::FS,
        senvcfg: 0,
        scounteren: 7,
        satp_modes: 1 | 1 << 8,
        svinval: false,
    },
    counters: 7,
    count: false,
    fence_on_switch: false,
};

type Frame = Vec<u16>;

/// Guest RAM and the pages for copies.
pub struct Host {
    pub frames: Vec<Frame>,
    pub copies: BTreeMap<u64, Frame>,
    /// Pages free for copies; the last one freed is used next.
    free: Vec<u64>,
    /// Halfwords written, in order.
    pub written: Vec<(HostPhys, u16)>,
}

impl Host {
    fn new(frames: usize, copies: usize) -> Self {
        let frame = |number: usize| {
            (0..2048)
                .map(|at| (number * 7919 + at) as u16 | 1)
                .collect()
        };
        let pages = (0..copies as u64)
            .rev()
            .map(|page| COPIES + page * PAGE_SIZE);
        Self {
            frames: (0..frames).map(frame).collect(),
            copies: BTreeMap::new(),
            free: pages.collect(),
            written: Vec::new(),
        }
    }

    /// The halfword at `at` in a copy.
    pub fn halfword(&self, at: HostPhys) -> u16 {
        assert!(at.is_aligned(2), "{at:?}");
        self.copies[&at.page().0][at.offset() as usize / 2]
    }
}

/// The host, shared by a test and the patcher.
#[derive(Clone)]
pub struct Shared(pub Rc<RefCell<Host>>);

impl Memory for Shared {
    fn copy_frame(&mut self, address: GuestPhys) -> Option<HostPhys> {
        let host = &mut *self.0.borrow_mut();
        let page = host.free.pop()?;
        let frame = host.frames[((address.0 - RAM.0) / PAGE_SIZE) as usize].clone();
        host.copies.insert(page, frame);
        Some(HostPhys(page))
    }

    fn free_copy(&mut self, copy: HostPhys) {
        let host = &mut *self.0.borrow_mut();
        let freed = host.copies.remove(&copy.0);
        assert!(freed.is_some(), "{copy:?} freed but not in use");
        host.free.push(copy.0);
    }

    fn write(&mut self, at: HostPhys, halfword: u16) {
        let host = &mut *self.0.borrow_mut();
        host.halfword(at);
        let copy = host.copies.get_mut(&at.page().0).expect("a copy in use");
        copy[at.offset() as usize / 2] = halfword;
        host.written.push((at, halfword));
    }
}

/// Memory for routines.
pub struct Code(Vec<u32>);

impl Code {
    /// The word at an address.
    pub fn word(&self, address: u64) -> u32 {
        self.0[((address - CODE) / 4) as usize]
    }
}

impl ExecutableMemory for Code {
    fn size(&self) -> usize {
        self.0.len() * 4
    }

    fn address(&self) -> u64 {
        CODE
    }

    fn write(&mut self, offset: usize, words: &[u32]) {
        assert!(offset.is_multiple_of(4));
        self.0[offset / 4..][..words.len()].copy_from_slice(words);
    }
}

/// A patcher and the host below it.
pub struct Setup {
    pub patcher: Patcher<Code, Shared>,
    pub host: Rc<RefCell<Host>>,
}

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub frames: usize,
    pub copies: usize,
    pub values: usize,
    /// Bytes for routines.
    pub code: usize,
}

pub const AMPLE: Sizes = Sizes {
    frames: 8,
    copies: 8,
    values: 1 << 16,
    code: 1 << 16,
};

impl Setup {
    pub fn new(sizes: Sizes) -> Self {
        let host = Rc::new(RefCell::new(Host::new(sizes.frames, sizes.copies)));
        let pages = Pages::new(RAM, sizes.frames as u64 * PAGE_SIZE, sizes.frames);
        let code = Code(vec![0; sizes.code / 4]);
        let memory = Shared(host.clone());
        let patcher = Patcher::new(MAKER, code, sizes.values, pages, memory);
        Self { patcher, host }
    }

    pub fn place(&mut self, at: GuestPhys, word: u32) -> Result<Placed, Full> {
        let instruction = decode(word).expect("an instruction that the monitor knows");
        self.patcher.place(at, &instruction, word, || ())
    }

    /// Places a patch that must succeed.
    pub fn patch(&mut self, at: GuestPhys, word: u32) {
        let placed = self.place(at, word);
        assert!(
            matches!(placed, Ok(Placed::Patched { .. })),
            "{at:?}: {placed:?}"
        );
    }

    /// Host-physical address of the patch at `at`, the break and the value in it.
    pub fn read(&self, at: GuestPhys) -> (HostPhys, u16, u16) {
        let copy = self.patcher.pages().copy(at).expect("a copy");
        let site = copy.add(at.offset());
        let host = self.host.borrow();
        (site, host.halfword(site), host.halfword(site.add(2)))
    }

    /// The routine that the gate enters for the patch at `at`.
    pub fn routine(&self, at: GuestPhys) -> Option<u64> {
        let (site, first, value) = self.read(at);
        assert_eq!(first, Patch::BREAK, "{at:?}");
        self.patcher.map().routine(value, site)
    }

    /// Whether the gate enters the right routine for `word` at `at`.
    pub fn serves(&self, at: GuestPhys, word: u32) -> bool {
        let code = MAKER
            .make(&decode(word).expect("known"), word)
            .expect("a template");
        self.routine(at).is_some_and(|routine| {
            let memory = self.patcher.routines().memory();
            (0..code.len()).all(|index| memory.word(routine + 4 * index as u64) == code[index])
        })
    }
}

/// Guest-physical address of an offset in a frame.
pub fn at(frame: usize, offset: u64) -> GuestPhys {
    RAM.add(frame as u64 * PAGE_SIZE + offset)
}

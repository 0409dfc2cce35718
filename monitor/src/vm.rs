//! A virtual machine: made from the bundle, started, started again, ended.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use bundle::{Bundle, Mode as PatchMode, Sum};
use devices::host_tree::HostTree;
use devices::{Board, BoardConfig, Request, TreeSpec};
use isa::address::{GuestPhys, GuestVirt, HostPhys};
use isa::csr::{interrupt, sstatus};
use mmu::{Config, Frame, Options, Pool, Shadow, Table, Window};
use patch::block::{ContextEntry, ContextTable, FENCE_LOG};
use patch::pages::Pages;
use patch::{HartBlock, Maker, Patcher};
use vcpu::{Features, Hart};

use super::clock::Clock;
use super::console::{self, say};
use super::guest_memory::{Copies, GuestRam, RoutineMemory};
use super::host::Host;
use super::layout::{Layout, Range};
use super::plic::HostPlic;
use super::statistics::Statistics;
use super::window::{self, Image};
use super::{csr, fault, gate};

/// Where the guest's RAM begins, as on QEMU's `virt`.
const RAM_BASE: GuestPhys = GuestPhys(0x8000_0000);
const MEGABYTE: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// Typed characters that wait for the guest.
const MOST_INPUT: usize = 4096;

/// The patcher on this machine.
pub type MachinePatcher = Patcher<RoutineMemory, Copies>;

/// One virtual machine with one hart.
pub struct Vm {
    description: bundle::Vm,
    bundle: Bundle<'static>,
    pub ram: GuestRam,
    pub board: Board,
    pub clock: Clock,
    /// Typed characters that the UART has no room for yet.
    input: VecDeque<u8>,
    pub patcher: RefCell<MachinePatcher>,
    /// Whether instructions that trap are patched.
    pub patches: bool,
    pub shadow: Shadow,
    /// The guest's `satp` that the shadow's current context is for.
    pub satp: Option<u64>,
    pub contexts: Box<ContextTable>,
    /// Addresses of the latest fences of one address in all address spaces.
    pub fence_log: Box<[u64; FENCE_LOG]>,
    pub features: Features,
    pub strict_sum: bool,
    /// With `strict_sum`: the VS view may have user pages.
    pub user_pages: bool,
    pub walk_options: Options,
    pub cbom_block: Option<u32>,
    pub cboz_block: Option<u32>,
    pub host_plic: Option<HostPlic>,
    pub statistics: Statistics,
    /// Patches that were refused since everything was recycled last.
    pub refused: u32,
    /// Accesses to nothing that were reported.
    pub reports: u32,
    /// Behind the window's last address.
    pub window_end: u64,
    tree: Vec<u8>,
    /// Where the kernel is told that the device tree is.
    tree_at: GuestPhys,
}

/// What the shadow must know of frames.
pub struct Frames<'a>(pub &'a RefCell<MachinePatcher>);

impl mmu::Frames for Frames<'_> {
    fn frame(&self, gpa: GuestPhys) -> Frame {
        match self.0.borrow().pages().copy(gpa) {
            Some(copy) => Frame::Patched { copy },
            None => Frame::Plain,
        }
    }

    fn uniform(&self, gpa: GuestPhys, size: u64) -> bool {
        self.0.borrow().pages().unpatched(gpa, size)
    }

    fn mapped_writable(&self, gpa: GuestPhys, size: u64) {
        self.0.borrow_mut().pages_mut().set_writable(gpa, size);
    }

    fn mapped_copy(&self, gpa: GuestPhys, va: GuestVirt) {
        self.0.borrow_mut().pages_mut().note_mapping(gpa, va);
    }
}

/// Opens the bundle, makes the machine that it describes, and runs it for good.
pub fn run(image: Image, tree: &HostTree, host: &Host, layout: Layout) -> ! {
    let bundle = bundle::open(layout.bundle).unwrap_or_else(|error| fault::stop(&error));
    let description = match &bundle.description().vms[..] {
        [vm] if vm.vcpus == 1 => vm.clone(),
        _ => fault::stop(
            &"the bundle describes several machines or harts, and this monitor runs one machine with one hart; pack one with `vcpus = 1`",
        ),
    };
    let mut free = Memory { free: layout.free };
    let mut block = Block::new();
    let vm = Vm::new(
        image,
        tree,
        host,
        &mut free,
        layout.memory_end,
        layout.heap_size,
        bundle,
        description,
        &mut block,
    )
    .unwrap_or_else(|error| fault::stop(&error));
    let vm = Box::leak(Box::new(vm));
    let block = Box::leak(block.0);
    vm.power_on(block)
        .unwrap_or_else(|error| fault::stop(&error));
    block.monitor_tp = vm as *mut Vm as u64;
    // SAFETY: the interrupts that the monitor handles; all arrive while a guest runs, or in `wfi`.
    unsafe { csr::write!("sie", interrupt::SSI | interrupt::SEI) };
    // SAFETY: what the firmware left here does not matter any more: the guest is entered in U-mode,
    // and neither SUM nor MXR widens what its pages allow.
    unsafe {
        let modes = sstatus::SPP | sstatus::SPIE | sstatus::SIE | sstatus::SUM | sstatus::MXR;
        csr::clear!("sstatus", modes);
    }
    vm.leave(block);
    // SAFETY: the view contains the window; the boot root is not needed any more.
    unsafe { csr::write!("satp", block.satp_vs) };
    // What the boot root had in larger pages must not stay in the TLB.
    csr::fence_all();
    // SAFETY: `Vm::new` and `leave` completed the block.
    unsafe { gate::enter(block) }
}

/// The per-hart block, on the heap.
struct Block(Box<HartBlock>);

impl Block {
    fn new() -> Self {
        // SAFETY: all fields of a block are integers, or an enum that has a variant 0.
        let mut block = unsafe { Box::<HartBlock>::new_zeroed().assume_init() };
        block.clear_cache();
        Self(block)
    }
}

/// Memory for the machine, given out from both ends.
struct Memory {
    free: Range,
}

impl Memory {
    /// `size` bytes that begin at a multiple of `align`.
    fn take(&mut self, size: u64, align: u64) -> Option<HostPhys> {
        let start = self.free.start.next_multiple_of(align);
        let end = start
            .checked_add(size)
            .filter(|&end| end <= self.free.end)?;
        self.free.start = end;
        Some(HostPhys(start))
    }

    /// `size` bytes aligned as well as the room allows: superpages of the guest then stay superpages.
    fn take_ram(&mut self, size: u64) -> Option<HostPhys> {
        let gigabyte = self.free.start.next_multiple_of(1 << 30);
        let align = if size >= 1 << 30 && gigabyte + size <= self.free.end {
            1 << 30
        } else {
            2 * MEGABYTE
        };
        self.take(size, align)
    }
}

impl Vm {
    #[expect(clippy::too_many_arguments, reason = "called once, at boot")]
    fn new(
        image: Image,
        tree: &HostTree,
        host: &Host,
        memory: &mut Memory,
        memory_end: u64,
        heap_size: u64,
        bundle: Bundle<'static>,
        description: bundle::Vm,
        block: &mut Block,
    ) -> Result<Self, String> {
        if let Some(window) = description
            .window
            .filter(|&window| window != window::WINDOW)
        {
            return Err(format!(
                "the bundle asks for the monitor's window at {window:#x}, and this monitor has it at {:#x}; pack without `window`",
                window::WINDOW
            ));
        }
        let routines_size = description
            .routine_cache
            .next_multiple_of(PAGE)
            .min(window::ROUTINES_SIZE);
        let pool_size = description.shadow_pool.next_multiple_of(PAGE);
        let available = memory.free.end - memory.free.start;
        let mut take = |size: u64, what: &str| {
            memory.take(size, PAGE).ok_or_else(|| {
                format!(
                    "{what} of {} KiB does not fit the host's free {} KiB; make it smaller",
                    size >> 10,
                    available >> 10
                )
            })
        };
        let routines = take(routines_size, "a routine cache")?;
        let pool = take(pool_size, "a shadow pool")?;
        let ram_size = description.memory & !(2 * MEGABYTE - 1);
        let room = memory.free.end.saturating_sub(memory.free.start);
        let ram = memory.take_ram(ram_size).ok_or_else(|| {
            format!(
                "the guest wants {} MiB of memory and the host has {} MiB left for it; give the guest less (`--memory`) or the host more",
                ram_size >> 20,
                room >> 20
            )
        })?;
        // SAFETY: taken from free memory for this guest alone, and within the direct map.
        let ram = unsafe { GuestRam::new(RAM_BASE, ram, ram_size) };

        let (entries, executed) = window::map(&image, routines, routines_size, memory_end);
        let window_end = window::WINDOW + entries.len() as u64 * window::SLOT;
        // SAFETY: taken from free memory for the pool alone; zeroes are empty tables.
        let tables: &'static [Table] = unsafe {
            window::direct(pool)
                .as_ptr()
                .write_bytes(0, pool_size as usize);
            core::slice::from_raw_parts(
                window::direct(pool).as_ptr().cast(),
                (pool_size / PAGE) as usize,
            )
        };
        let config = Config {
            harts: 1,
            contexts: 256,
            asid_bits: host.asid_bits,
            leaf_bits: 0,
            window: Window {
                first_slot: GuestVirt(window::WINDOW),
                entries: &entries,
            },
        };
        let shadow = Shadow::new(
            Pool {
                tables,
                physical: pool,
            },
            &config,
        )
        .map_err(|error| format!("{error}"))?;

        let features = host.features;
        let maker = Maker {
            features,
            counters: host.counters,
            count: description.statistics,
            fence_on_switch: shadow.needs_fence_on_switch(),
        };
        if maker.fence_on_switch {
            for at in gate::fences() {
                let at = window::direct(window::host(at as *const u32)).cast::<u32>();
                // SAFETY: a 4-byte nop of the gate, reached through the direct map; no guest runs yet.
                unsafe {
                    at.write_volatile(isa::encode::sfence_vma(
                        isa::reg::Reg::X0,
                        isa::reg::Reg::X0,
                    ))
                };
            }
            csr::fence_i();
        }
        // SAFETY: `map` made the memory executable at that address, and it is the cache's alone.
        let executable = unsafe { RoutineMemory::new(routines, routines_size as usize, executed) };
        // A quarter of the heap for copies; what is remembered of pages takes less than another.
        let copies = (heap_size / 4 / PAGE) as usize;
        let memory_of_copies = Copies::new(ram, copies);
        let pages = Pages::new(RAM_BASE, ram_size, copies);
        let patcher = Patcher::new(
            maker,
            executable,
            description.values as usize,
            pages,
            memory_of_copies,
        );
        let mut contexts = Box::new(ContextTable(
            [ContextEntry::EMPTY; patch::block::CONTEXT_ENTRIES],
        ));
        contexts.clear();

        let clock = Clock::new(tree);
        let fence_log = Box::new([0; FENCE_LOG]);
        let block = &mut *block.0;
        block.fence_log = &raw const *fence_log as u64;
        gate::set_addresses(block, description.mode == PatchMode::BreakFrame);
        block.direct_map = window::DIRECT_MAP;
        block.emulation_map = patcher.map().address();
        block.contexts = &raw const *contexts as u64;
        block.ram_base = RAM_BASE.0;
        block.ram_size = ram_size;
        block.ram_offset = window::DIRECT_MAP
            .wrapping_add(ram.host_base().0)
            .wrapping_sub(RAM_BASE.0);
        block.sstatus_mask = features.sstatus;
        block.extension_mask = features.sstatus & (sstatus::FS | sstatus::VS);
        block.scounteren_mask = features.scounteren;
        block.senvcfg_mask = features.senvcfg;
        let stack = Box::leak(alloc::vec![0u128; 4096].into_boxed_slice());
        block.monitor_sp = stack.as_mut_ptr_range().end as u64;

        let mut vm = Self {
            patches: description.mode != PatchMode::Trap,
            user_pages: false,
            strict_sum: description.sum == Sum::Strict,
            description,
            bundle,
            ram,
            board: Board::new(&BoardConfig {
                harts: 1,
                rtc: clock.knows_the_day(),
            }),
            clock,
            input: VecDeque::new(),
            patcher: RefCell::new(patcher),
            shadow,
            satp: None,
            contexts,
            fence_log,
            features,
            walk_options: Options::default(),
            cbom_block: host.cbom_block,
            cboz_block: host.cboz_block,
            host_plic: HostPlic::new(tree, host.hart),
            statistics: Statistics::default(),
            refused: 0,
            reports: 0,
            window_end,
            tree: Vec::new(),
            tree_at: RAM_BASE,
        };
        vm.make_tree(host, tree.rng_seed.as_deref().unwrap_or_default())?;
        Ok(vm)
    }

    fn file(&self, name: &str) -> Result<&'static [u8], String> {
        self.bundle
            .file(name)
            .ok_or_else(|| format!("the bundle lacks the file {name}; pack it again"))
    }

    /// Makes the device tree. It lies at the end of RAM, the initrd before it.
    fn make_tree(&mut self, host: &Host, seed: &[u8]) -> Result<(), String> {
        const TREE_ROOM: u64 = 2 * MEGABYTE;
        let end = RAM_BASE.add(self.ram.size);
        self.tree_at = GuestPhys(end.0.saturating_sub(TREE_ROOM).max(RAM_BASE.0));
        let initrd = match &self.description.initrd {
            Some(name) => {
                let size = self.file(name)?.len() as u64;
                let start = (self.tree_at.0.saturating_sub(size)) & !(PAGE - 1);
                Some((GuestPhys(start), GuestPhys(start + size)))
            }
            None => None,
        };
        let overlay = self
            .description
            .overlay
            .as_deref()
            .map(|name| self.file(name))
            .transpose()?;
        let spec = TreeSpec {
            harts: 1,
            memory_base: RAM_BASE,
            memory_size: self.ram.size,
            bootargs: &self.description.append,
            initrd,
            isa: &host.isa,
            mmu_type: host.mmu_type(),
            timebase_frequency: host.timebase,
            cbom_block_size: host.cbom_block,
            cbop_block_size: None,
            cboz_block_size: host.cboz_block,
            rtc: self.clock.knows_the_day(),
            rng_seed: seed,
            kaslr_seed: None,
            overlay,
        };
        self.tree = devices::device_tree(&spec).map_err(|error| format!("{error}"))?;
        Ok(())
    }

    /// Loads the kernel and makes the hart what it is at power-on.
    pub fn power_on(&mut self, block: &mut HartBlock) -> Result<(), String> {
        let name = self.description.kernel.clone();
        let kernel = self.file(&name)?;
        let kernel = bundle::kernel::parse(kernel, RAM_BASE.0)
            .map_err(|error| format!("kernel {name}: {error}"))?;
        let too_small = |what: &str, from: u64, to: u64| {
            format!(
                "{what} needs guest memory from {from:#x} to {to:#x}, and there is {:#x} to {:#x}; give the guest more (`--memory`)",
                RAM_BASE.0,
                RAM_BASE.0 + self.ram.size
            )
        };
        let mut kernel_end = 0;
        for segment in &kernel.segments {
            let at = GuestPhys(segment.address);
            let end = segment.address.saturating_add(segment.memory_size);
            kernel_end = kernel_end.max(end);
            let rest = segment.memory_size - segment.bytes.len() as u64;
            let written = self.ram.contains(at, segment.memory_size)
                && self.ram.write(at, segment.bytes)
                && (rest == 0 || self.ram.zero(at.add(segment.bytes.len() as u64), rest));
            if !written {
                return Err(too_small("the kernel", segment.address, end));
            }
        }
        if let Some(name) = &self.description.initrd {
            let initrd = self.file(name)?;
            let at = GuestPhys((self.tree_at.0.saturating_sub(initrd.len() as u64)) & !(PAGE - 1));
            if at.0 < kernel_end || !self.ram.write(at, initrd) {
                return Err(too_small(
                    "the initrd, after the kernel,",
                    kernel_end,
                    kernel_end + initrd.len() as u64,
                ));
            }
        }
        if self.tree_at.0 < kernel_end || !self.ram.write(self.tree_at, &self.tree) {
            return Err(too_small(
                "the device tree, after the kernel,",
                kernel_end,
                kernel_end + self.tree.len() as u64,
            ));
        }
        self.board.reset();
        self.clock.reset();
        self.clock.update(block, &mut self.board);
        block.hart = Hart::new(&self.features, 0, self.tree_at, GuestPhys(kernel.entry));
        block.update_pending();
        self.grant(block);
        csr::fence_i();
        Ok(())
    }

    /// Gives VU what the guest's `scounteren` and `senvcfg` grant it.
    pub fn grant(&self, block: &HartBlock) {
        // SAFETY: what VU may read and do is the guest's choice; VS is served by the emulator where
        // these deny it something.
        unsafe {
            csr::write!("scounteren", block.hart.scounteren);
            if self.features.senvcfg != 0 {
                csr::write!("0x10a", block.hart.senvcfg);
            }
        }
    }

    /// Does what a device asks for.
    pub fn carry_out(&mut self, block: &mut HartBlock, request: Request) {
        match request {
            Request::None => {}
            Request::PowerOff { code } => self.power_off(block, code),
            Request::Reset => self.reset(block),
        }
    }

    /// Starts the machine again, with its patches gone.
    pub fn reset(&mut self, block: &mut HartBlock) {
        self.show_output();
        say!("the guest resets; it starts again");
        let dropped = self.shadow.flush_all();
        self.apply(block, dropped);
        self.patcher.borrow_mut().reset();
        if let Err(error) = self.power_on(block) {
            self.stop(format_args!("{error}"));
        }
    }

    /// Ends the machine, and with it the board. `code` is 0 for success.
    pub fn power_off(&mut self, block: &mut HartBlock, code: u16) -> ! {
        self.show_output();
        if self.description.statistics {
            let patcher = self.patcher.borrow();
            let counts = patcher.counts();
            let shadow = self.shadow.statistics();
            let rest = format!(
                "\"sites\":{},\"routines\":{},\"copies\":{},\"copies_dropped\":{},\"recycled\":{},\"straddling\":{},\
                 \"shadow_tables\":{},\"contexts_created\":{},\"contexts_evicted\":{}",
                counts.placed,
                patcher.routines().made(),
                patcher.pages().copies(),
                counts.dropped,
                counts.recycled,
                counts.straddling,
                shadow.live_tables,
                shadow.created,
                shadow.evicted,
            );
            let frame = match self.description.mode {
                PatchMode::BreakFrame => patch::template::FRAME_INSTRUCTIONS,
                PatchMode::Trap | PatchMode::Break => 0,
            };
            let (name, mode) = (&self.description.name, self.description.mode.name());
            say!(
                "stats {{\"vm\":\"{name}\",\"mode\":\"{mode}\",{}}}",
                self.statistics.json(block, frame, &rest)
            );
        }
        if code != 0 {
            say!("error: the guest powered off with failure code {code}");
        }
        fault::power_off(code == 0)
    }

    /// Ends the machine because it cannot go on.
    pub fn stop(&mut self, reason: fmt::Arguments) -> ! {
        self.show_output();
        fault::stop(&reason)
    }

    /// Sends what the guest's UART has sent to the console.
    pub fn show_output(&mut self) {
        if self.board.has_output() {
            console::send(&self.board.take_output());
        }
    }

    /// Takes a byte that was typed.
    pub fn receive(&mut self, byte: u8) {
        // As a UART does whose reader is asleep: what does not fit is lost.
        if self.input.len() < MOST_INPUT {
            self.input.push_back(byte);
        }
        self.offer_input();
    }

    /// Offers typed bytes to the UART, as many as it has room for.
    pub fn offer_input(&mut self) {
        while let Some(&byte) = self.input.front()
            && self.board.receive(byte)
        {
            self.input.pop_front();
        }
    }

    /// A typed byte for the SBI console.
    pub fn take_input(&mut self) -> Option<u8> {
        self.input.pop_front().or_else(console::receive)
    }
}

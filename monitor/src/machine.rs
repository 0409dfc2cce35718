//! A virtual machine, as its lock protects it: memory, devices, patches and shadow; started, started
//! again, ended.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use core::{fmt, ops};

use bundle::{Bundle, Mode as PatchMode, Sum};
use devices::{Board, Request, Seeds, TreeSpec};
use isa::address::{GuestPhys, GuestVirt, HostPhys};
use isa::csr::{interrupt, senvcfg, sstatus};
use mmu::{Config, Frame, Options, Pool, Shadow, Table};
use patch::pages::Pages;
use patch::{Maker, Patcher};
use sbi::Start;
use vcpu::{Features, Hart};
use virtio::file_disk::{GRANULE, Granule};

use super::console::{self, say};
use super::doorbell::{Doorbell, GRANT};
use super::guest_memory::{Copies, GuestRam, RoutineMemory};
use super::host::Host;
use super::host_virtio::HostDevices;
use super::layout::Range;
use super::network::Network;
use super::patching::HOT;
use super::slots::Slot;
use super::statistics::Statistics;
use super::system::Typed;
use super::virtual_hart::{State, Vcpu};
use super::window;
use super::{csr, gate, system};

/// Where the guest's RAM begins, as on QEMU's `virt`.
const RAM_BASE: GuestPhys = GuestPhys(0x8000_0000);
const MEGABYTE: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// Bytes of a guest's `rng-seed`, as QEMU gives.
const SEED: usize = 32;

/// Mistakes of a guest that are reported.
const REPORTS: u32 = 16;

/// The patcher on this machine.
pub type MachinePatcher = Patcher<RoutineMemory, Copies>;

/// One virtual machine.
pub struct Machine {
    /// Its number.
    pub number: usize,
    pub description: bundle::Vm,
    bundle: &'static Bundle<'static>,
    pub ram: GuestRam,
    pub board: Board,
    /// Its virtio devices.
    pub slots: Vec<Slot>,
    /// Whether what is typed is for the UART, and not for the virtio console: for that which spoke last.
    pub types_to_uart: bool,
    pub patcher: RefCell<MachinePatcher>,
    /// Whether instructions that trap are patched.
    pub patches: bool,
    /// Whether code is looked at before VS executes it, because `wfi` does not trap.
    pub looks_at_code: bool,
    /// Whether code has run in VU. Until then `senvcfg` withholds nothing from VS.
    pub user_runs: bool,
    pub shadow: Shadow,
    /// One for each virtual hart; so are the following.
    pub doorbells: &'static [Doorbell],
    pub states: Vec<State>,
    /// Whether it has seen its external interrupt pending.
    pub seen_external: Vec<bool>,
    /// Not 0 while the shadow is filled: fences that other harts' gates carry out wait.
    pub filling: &'static AtomicU64,
    /// A device may interrupt where it did not.
    pub board_changed: bool,
    pub features: Features,
    pub strict_sum: bool,
    pub walk_options: Options,
    /// Counters that S-mode may read, by their bits in `scounteren`.
    pub counters: u64,
    /// Whether the host is a processor of T-Head's, with their own extensions.
    pub is_thead: bool,
    pub cbom_block: Option<u32>,
    pub cboz_block: Option<u32>,
    pub statistics: Statistics,
    /// Instructions that accessed devices, by their addresses, and how often lately.
    pub hot: Box<[(u64, u32)]>,
    /// Patches that were refused since everything was recycled last.
    pub refused: u32,
    /// Mistakes of the guest that were reported.
    reports: u32,
    /// What is to become of the machine when the exit is over.
    pub end: Option<End>,
    /// Whether each slow exit is printed.
    pub trace: bool,
    /// The device tree, and where seeds are filled in for each life of the machine; they are 0 in between.
    tree: Vec<u8>,
    seeds: Vec<ops::Range<usize>>,
    /// Where the kernel is told that the device tree is.
    tree_at: GuestPhys,
}

/// The end of a machine, or of one of its lives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// It powered off; the code is 0 for success.
    PowerOff(u16),
    /// It resets.
    Reset,
    /// It cannot go on: why.
    Failed(String),
}

/// What the shadow must know of frames.
pub struct Frames<'a> {
    pub patcher: &'a RefCell<MachinePatcher>,
    /// Whether code is looked at before VS executes it.
    pub looks_at_code: bool,
}

impl mmu::Frames for Frames<'_> {
    fn frame(&self, gpa: GuestPhys) -> Frame {
        let patcher = self.patcher.borrow();
        match patcher.pages().copy(gpa) {
            Some(copy) => Frame::Patched { copy },
            None if patcher.pages().is_seen(gpa) => Frame::Protected,
            None => Frame::Plain,
        }
    }

    fn uniform(&self, gpa: GuestPhys, size: u64) -> bool {
        self.patcher.borrow().pages().unpatched(gpa, size)
    }

    fn executes_plain(&self, gpa: GuestPhys, size: u64) -> bool {
        !self.looks_at_code || size == PAGE && self.patcher.borrow().pages().is_open(gpa)
    }

    fn mapped_writable(&self, gpa: GuestPhys, size: u64) {
        self.patcher
            .borrow_mut()
            .pages_mut()
            .set_writable(gpa, size);
    }

    fn mapped_copy(&self, gpa: GuestPhys, va: GuestVirt) {
        self.patcher.borrow_mut().pages_mut().note_mapping(gpa, va);
    }
}

/// The `senvcfg` with which the hardware's U-mode may do all to cache blocks that a host with these bits has,
/// as VS may. `cbo.inval` writes back first: what the block has may be the monitor's.
fn all_cache_blocks(offered: u64) -> u64 {
    const FLUSH: u64 = 1 << senvcfg::CBIE.trailing_zeros();
    offered & (senvcfg::CBCFE | senvcfg::CBZE | FLUSH)
}

/// Memory for machines, given out from the start of what is free.
pub struct Memory {
    free: Range,
    /// Bytes of the heap that are not spoken for.
    heap: u64,
}

/// Heap that a machine needs: its emulation map with the list of free values, the context records,
/// the device tree, and its console.
const HEAP_OF_MACHINE: u64 = 3 * MEGABYTE;
/// Heap that a virtual hart needs: block, contexts, fence log, extensions.
const HEAP_OF_HART: u64 = 64 << 10;

/// Heap that a patched copy needs at the most: two records of pages in tree nodes that are half empty, and
/// the addresses where it is mapped.
const HEAP_OF_COPY: u64 = 640;

impl Memory {
    /// All of `free`, and a heap of so many bytes.
    pub fn new(free: Range, heap: u64) -> Self {
        Self { free, heap }
    }

    /// Runs `make`, which gets what it took only if it succeeds.
    pub fn attempt<T>(
        &mut self,
        make: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let (free, heap) = (self.free, self.heap);
        let made = make(self);
        if made.is_err() {
            (self.free, self.heap) = (free, heap);
        }
        made
    }

    /// Speaks for `size` bytes of the heap.
    pub fn take_heap(&mut self, size: u64) -> Result<(), String> {
        self.heap = self.heap.checked_sub(size).ok_or_else(|| {
            format!(
                "the monitor's heap has {} KiB left and the machine needs {} KiB of it; give the host more memory",
                self.heap >> 10,
                size >> 10
            )
        })?;
        Ok(())
    }

    /// `size` bytes that begin at a multiple of `align`.
    fn take(&mut self, size: u64, align: u64) -> Option<HostPhys> {
        let start = self.free.start.next_multiple_of(align);
        let end = start
            .checked_add(size)
            .filter(|&end| end <= self.free.end)?;
        self.free.start = end;
        Some(HostPhys(start))
    }

    /// Memory for the changes to a file of the bundle that is a disk.
    pub fn take_changes(&mut self, granules: u64) -> Result<&'static mut [Granule], String> {
        let size = granules * GRANULE as u64;
        let room = self.free.end.saturating_sub(self.free.start);
        let memory = self.take(size, PAGE).ok_or_else(|| {
            format!(
                "a disk's changes of {} KiB do not fit the host's free {} KiB; allow fewer or give the host more",
                size >> 10,
                room >> 10
            )
        })?;
        // SAFETY: taken from free memory for this alone, in the direct map; any bytes are a granule.
        Ok(unsafe {
            core::slice::from_raw_parts_mut(
                window::direct(memory).cast().as_ptr(),
                granules as usize,
            )
        })
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

/// What machines are made from.
pub struct Parts<'a> {
    pub host: &'a Host,
    pub bundle: &'static Bundle<'static>,
    pub devices: &'a HostDevices,
    pub network: &'a Network,
    /// Most patched copies that each machine may have.
    pub copies: usize,
    /// Whether the time of day is known.
    pub knows_the_day: bool,
}

impl Machine {
    /// Makes the machine with the number `number`, of which nothing runs yet, and its harts.
    pub fn new(
        number: usize,
        description: bundle::Vm,
        doorbells: &'static [Doorbell],
        parts: &Parts,
        memory: &mut Memory,
    ) -> Result<(Self, Vec<Vcpu>), String> {
        let start = window::place().start;
        if let Some(window) = description.window.filter(|&window| window != start) {
            return Err(format!(
                "it asks for the monitor's window at {window:#x}, and the monitor has it at {start:#x} for all; give all the same"
            ));
        }
        let harts = doorbells.len();
        let heap =
            HEAP_OF_MACHINE + harts as u64 * HEAP_OF_HART + parts.copies as u64 * HEAP_OF_COPY;
        memory.take_heap(heap)?;
        let routines_size = description
            .routine_cache
            .next_multiple_of(PAGE)
            .min(window::ROUTINES_SIZE);
        let pool_size = description.shadow_pool.next_multiple_of(PAGE);
        let available = memory.free.end.saturating_sub(memory.free.start);
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
        let copies = take(parts.copies as u64 * PAGE, "memory for patched copies")?;
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

        let executed = window::map_routines(number, routines, routines_size);
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
        let host = parts.host;
        let config = Config {
            harts,
            contexts: 256,
            asid_bits: host.asid_bits,
            leaf_bits: 0,
            window: window::of_shadows(),
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
            gate::fence_on_switch();
        }
        let changes: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
        // SAFETY: `map_routines` made the memory executable at that address, and it is the cache's
        // alone.
        let executable =
            unsafe { RoutineMemory::new(routines, routines_size as usize, executed, changes) };
        // SAFETY: taken from free memory for these alone.
        let memory_of_copies = unsafe { Copies::new(ram, copies, parts.copies) };
        let pages = Pages::new(RAM_BASE, ram_size, parts.copies);
        let patcher = Patcher::new(
            maker,
            executable,
            description.values as usize,
            pages,
            memory_of_copies,
        );

        let filling: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
        let make_hart = |index| {
            let mut vcpu = Vcpu::new(index, features.sstatus & (sstatus::FS | sstatus::VS));
            let block = &mut *vcpu.block;
            gate::set_addresses(block, description.mode == PatchMode::BreakFrame);
            block.direct_map = window::direct_map();
            block.emulation_map = patcher.map().address();
            block.routine_changes = changes as *const AtomicU64 as u64;
            block.filling = filling as *const AtomicU64 as u64;
            block.ram_base = RAM_BASE.0;
            block.ram_size = ram_size;
            block.ram_offset = window::direct_map()
                .wrapping_add(ram.host_base().0)
                .wrapping_sub(RAM_BASE.0);
            block.sstatus_mask = features.sstatus;
            block.extension_mask = features.sstatus & (sstatus::FS | sstatus::VS);
            block.scounteren_mask = features.scounteren;
            block.senvcfg_mask = features.senvcfg;
            vcpu
        };
        let vcpus: Vec<_> = (0..harts).map(make_hart).collect();
        let mut machine = Self {
            number,
            patches: description.mode != PatchMode::Trap,
            looks_at_code: !host.wfi_traps,
            user_runs: false,
            strict_sum: description.sum == Sum::Strict,
            description,
            bundle: parts.bundle,
            ram,
            board: Board::new(harts),
            slots: Vec::new(),
            types_to_uart: true,
            patcher: RefCell::new(patcher),
            shadow,
            doorbells,
            states: alloc::vec![State::Stopped; harts],
            seen_external: alloc::vec![false; harts],
            filling,
            board_changed: false,
            features,
            walk_options: Options::default(),
            counters: host.counters,
            is_thead: host.is_thead,
            cbom_block: host.cbom_block,
            cboz_block: host.cboz_block,
            statistics: Statistics::default(),
            hot: alloc::vec![(0, 0); HOT].into(),
            refused: 0,
            reports: 0,
            end: None,
            trace: false,
            tree: Vec::new(),
            seeds: Vec::new(),
            tree_at: RAM_BASE,
        };
        machine.fill_slots(parts, memory)?;
        machine.make_tree(parts)?;
        Ok((machine, vcpus))
    }

    fn file(&self, name: &str) -> Result<&'static [u8], String> {
        self.bundle
            .file(name)
            .ok_or_else(|| format!("the bundle lacks the file {name}; pack it again"))
    }

    /// Makes the device tree. It lies at the end of RAM, the initrd before it.
    fn make_tree(&mut self, parts: &Parts) -> Result<(), String> {
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
        let entropy = &parts.devices.entropy;
        let has_entropy = entropy.has_entropy();
        let host = parts.host;
        let spec = TreeSpec {
            harts: self.doorbells.len(),
            memory_base: RAM_BASE,
            memory_size: self.ram.size,
            bootargs: &self.description.append,
            initrd,
            isa: &host.isa,
            mmu_type: host.mmu_type(),
            timebase_frequency: host.timebase,
            cbom_block_size: host.cbom_block,
            cbop_block_size: host.cbop_block,
            cboz_block_size: host.cboz_block,
            rtc: parts.knows_the_day,
            virtio: self.slots.len(),
            rng_seed: if has_entropy { &[0; SEED] } else { &[] },
            kaslr_seed: (has_entropy && entropy.places_kernels).then_some(0),
            overlay,
        };
        self.tree = devices::device_tree(&spec).map_err(|error| format!("{error}"))?;
        let seeds = Seeds::of(&self.tree).map_err(|error| format!("{error}"))?;
        // An overlay's own stay as they are.
        let is_empty =
            |place: &ops::Range<usize>| self.tree[place.clone()].iter().all(|&byte| byte == 0);
        self.seeds = seeds.places().filter(is_empty).collect();
        Ok(())
    }

    /// Loads the kernel and makes the first hart what it is at power-on; the others are stopped.
    pub fn power_on(&mut self) -> Result<(), String> {
        let name = self.description.kernel.clone();
        let kernel = self.file(&name)?;
        let kernel = bundle::kernel::parse(kernel, RAM_BASE.0)
            .map_err(|error| format!("kernel {name}: {error}"))?;
        let ram_size = self.ram.size;
        let too_small = |what: &str, from: u64, to: u64| {
            format!(
                "{what} needs guest memory from {from:#x} to {to:#x}, and there is {:#x} to {:#x}; give the guest more (`--memory`)",
                RAM_BASE.0,
                RAM_BASE.0 + ram_size
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
        if self.tree_at.0 < kernel_end || !self.write_tree() {
            return Err(too_small(
                "the device tree, after the kernel,",
                kernel_end,
                kernel_end + self.tree.len() as u64,
            ));
        }
        self.types_to_uart = true;
        self.user_runs = false;
        self.update_clock();
        let start = Start {
            address: GuestPhys(kernel.entry),
            opaque: self.tree_at.0,
        };
        // On the host hart that runs it, and after what it may have left the guest for in its last life.
        self.states[0] = State::StartPending(start);
        Ok(())
    }

    /// Gives the guest its device tree, with seeds that no other life of a machine has had.
    fn write_tree(&mut self) -> bool {
        let entropy = &system::get().devices.entropy;
        for place in &self.seeds {
            entropy.fill(&mut self.tree[place.clone()]);
        }
        let written = self.ram.write(self.tree_at, &self.tree);
        for place in &self.seeds {
            self.tree[place.clone()].fill(0);
        }
        written
    }

    /// Stops all harts, as before power-on: nothing is pending, and nothing due.
    pub fn stand_still(&mut self) {
        self.board.reset();
        self.update_clock();
        self.states.fill(State::Stopped);
        for door in self.doorbells {
            door.set_deadline(u64::MAX);
            door.withdraw(interrupt::SSI | interrupt::STI);
        }
    }

    /// Makes a hart what it is when it starts.
    pub fn start(&mut self, vcpu: &mut Vcpu, start: Start) {
        let device_tree = GuestPhys(start.opaque);
        let hart = Hart::new(
            &self.features,
            vcpu.index as u64,
            device_tree,
            start.address,
        );
        vcpu.block.hart = hart;
        vcpu.device_pages.forget();
        vcpu.block.update_pending();
        self.states[vcpu.index] = State::Started;
        self.grant(vcpu);
        // What other harts have written is this hart's code.
        csr::fence_i();
    }

    /// Gives VU what the guest's `scounteren` and `senvcfg` grant it.
    pub fn grant(&self, vcpu: &Vcpu) {
        let hart = &vcpu.block.hart;
        // `cycle` and `instret`, when they are not what the hardware has, are emulated for VS. VU gets
        // an illegal instruction.
        let withheld = if vcpu.block.virtual_counters != 0 {
            0b101
        } else {
            0
        };
        let environment = if self.user_runs {
            hart.senvcfg
        } else {
            all_cache_blocks(self.features.senvcfg)
        };
        // SAFETY: what VU may read and do is the guest's choice; VS is served by the emulator where
        // these deny it something.
        unsafe {
            csr::write!("scounteren", hart.scounteren & !withheld);
            if self.features.senvcfg != 0 {
                csr::write!("0x10a", environment);
            }
        }
    }

    /// Code is about to run in VU, on whatever hart: from now on the hardware's `senvcfg` is what the
    /// guest grants it.
    pub fn let_user_run(&mut self, vcpu: &mut Vcpu) {
        if !core::mem::replace(&mut self.user_runs, true) {
            self.grant(vcpu);
            self.summon(vcpu.index, |_| true, GRANT);
        }
    }

    /// Tells the board the time of day, and when to look at it again.
    pub fn update_clock(&mut self) {
        let clock = &system::get().clock;
        clock.show(&mut self.board);
        self.board_changed = true;
        let alarm = clock.ticks_until(self.board.next_alarm());
        let door = &self.doorbells[0];
        if door.set_alarm(alarm) {
            // The host hart that looks after it must set its timer.
            let cpu = &system::get().cpus[door.cpu()];
            cpu.timer_changed();
            cpu.interrupt();
        }
    }

    /// Whether a hart executes; if not, what it left the guest for is of no account any more.
    pub fn runs(&self, index: usize) -> bool {
        self.states[index] == State::Started
    }

    /// The hart's own steal time, in memory that the guest gave for it: it is withheld from running.
    pub fn tell_preempted(&mut self, vcpu: &Vcpu) {
        if self.states[vcpu.index] == State::Started
            && let Some(store) = vcpu.services.steal_time.preempted()
        {
            self.store(store);
        }
    }

    /// It runs again. A hart that is suspended is told when it goes on, and one that is stopped nothing.
    pub fn tell_resumed(&mut self, vcpu: &mut Vcpu) {
        let state = self.states[vcpu.index];
        if matches!(state, State::Suspended(_)) {
            return;
        }
        let system = system::get();
        let number = self.doorbells[vcpu.index].vcpu;
        let account = system.scheduler.lock().vcpu_account(number, csr::time());
        let stolen = account.stolen - core::mem::replace(&mut vcpu.stolen, account.stolen);
        if !matches!(state, State::Started | State::Waiting) {
            return;
        }
        let stores = vcpu
            .services
            .steal_time
            .resumed(system.clock.nanoseconds(stolen));
        for store in stores.into_iter().flatten() {
            self.store(store);
            fence(Ordering::Release);
        }
    }

    /// Stores to guest memory for the SBI. Code that is patched does not lie there: if it does, what was
    /// executed before is executed on.
    fn store(&self, store: sbi::Store) {
        self.ram.store(store.at, store.value, store.size);
    }

    /// Does what a device asks for.
    pub fn carry_out(&mut self, request: Request) {
        match request {
            Request::None => {}
            Request::PowerOff { code } => self.end = Some(End::PowerOff(code)),
            Request::Reset => self.end = Some(End::Reset),
        }
    }

    /// Ends the machine, because it cannot go on, when the exit is over.
    pub fn stop(&mut self, reason: fmt::Arguments) {
        self.end = Some(End::Failed(format!("{reason}")));
    }

    /// Says what the guest did wrong, so often that it is no way to flood the console.
    pub fn report(&mut self, what: fmt::Arguments) {
        if self.reports < REPORTS {
            self.reports += 1;
            say!("{}{what}", self.label());
        }
    }

    /// What the monitor's lines about this machine begin with, where it is not the only one.
    pub fn label(&self) -> String {
        system::get().label(self.number)
    }

    /// The line of statistics; `vcpus` are all of the machine's.
    pub fn statistics_line<'a>(&self, vcpus: impl Iterator<Item = &'a Vcpu>) -> String {
        let patcher = self.patcher.borrow();
        let counts = patcher.counts();
        let shadow = self.shadow.statistics();
        let rest = format!(
            "\"sites\":{},\"routines\":{},\"copies\":{},\"copies_dropped\":{},\"recycled\":{},\"straddling\":{},\
             \"shadow_tables\":{},\"contexts_created\":{},\"contexts_evicted\":{},\"spurious\":{},\"disk_requests\":{}",
            counts.placed,
            patcher.routines().made(),
            patcher.pages().copies(),
            counts.dropped,
            counts.recycled,
            counts.straddling,
            shadow.live_tables,
            shadow.created,
            shadow.evicted,
            shadow.spurious,
            self.disk_requests(),
        );
        let frame = match self.description.mode {
            PatchMode::BreakFrame => patch::template::FRAME_INSTRUCTIONS,
            PatchMode::Trap | PatchMode::Break => 0,
        };
        let (name, mode) = (&self.description.name, self.description.mode.name());
        format!(
            "stats {{\"vm\":\"{name}\",\"mode\":\"{mode}\",{}}}",
            self.statistics.json(vcpus, frame, &rest)
        )
    }

    /// Sends what the guest's UART has sent to the console.
    pub fn show_output(&mut self) {
        if self.board.has_output() {
            self.types_to_uart = true;
            console::output(self.number, &self.board.take_output());
        }
    }

    /// Offers typed bytes to the UART, as many as it has room for.
    pub fn offer_input(&mut self) {
        if !self.types_to_uart {
            return;
        }
        let board = &mut self.board;
        let taken = system::get().offer_input(self.number, |typed| match typed {
            Typed::Byte(byte) => board.receive(byte),
            Typed::Break => board.receive_break(),
        });
        self.board_changed |= taken;
    }
}

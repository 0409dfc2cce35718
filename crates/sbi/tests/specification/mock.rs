//! A machine that notes what it is asked to do.

use isa::address::{GuestPhys, GuestVirt};
use isa::csr::Exception;
use sbi::{
    Call, Event, Fault, FenceRange, HartStatus, Harts, Machine, MachineIds, PerHart, ResetKind,
    ResetReason, Start, StartError,
};
use std::collections::HashMap;

pub const MEMORY_BASE: u64 = 0x8000_0000;
pub const MEMORY_SIZE: usize = 0x4000;
/// Guest-virtual addresses from here on are memory; those below fault.
pub const VIRTUAL_BASE: u64 = 0xffff_ffff_8000_0000;
pub const WINDOW_END: u64 = 0xff02_0000_0000_0000;
pub const IDS: MachineIds = MachineIds {
    vendor: 0x5b7,
    architecture: 0x8000_0000_0910_0000,
    implementation: 0x42,
};

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Happening {
    Timer(usize, u64),
    Ipi(usize),
    FenceI(Vec<usize>),
    SfenceVma(Vec<usize>, FenceRange, Option<u16>),
    Start(usize, Start),
    Stop(usize),
    Reset(ResetKind, ResetReason),
}

pub struct Mock {
    pub events: Vec<Happening>,
    pub status: Vec<HartStatus>,
    pub memory: Vec<u8>,
    pub output: Vec<u8>,
    /// Bytes that the console takes before it is full.
    pub room: usize,
    pub input: Vec<u8>,
    pub ipi_pending: bool,
    pub start_error: Option<StartError>,
    pub per_hart: Vec<PerHart>,
    /// On every hart; what is not in it, the machine does not count.
    pub totals: HashMap<Event, u64>,
    pub misaligned_traps: bool,
}

impl Mock {
    /// Hart 0 runs, the others are stopped.
    pub fn new(harts: usize) -> Self {
        let mut status = vec![HartStatus::Stopped; harts];
        status[0] = HartStatus::Started;
        Self {
            events: Vec::new(),
            status,
            memory: (0..MEMORY_SIZE).map(|n| (n % 251) as u8).collect(),
            output: Vec::new(),
            room: usize::MAX,
            input: Vec::new(),
            ipi_pending: false,
            start_error: None,
            per_hart: vec![PerHart::default(); harts],
            totals: Event::ALL.iter().map(|&event| (event, 0)).collect(),
            misaligned_traps: false,
        }
    }

    /// `event` happens `times` times on every hart.
    pub fn happen(&mut self, event: Event, times: u64) {
        let total = self.totals.get_mut(&event).expect("a counted event");
        *total = total.wrapping_add(times);
    }

    /// Writes 64-bit words to memory.
    pub fn put(&mut self, at: u64, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert!(self.write_guest(GuestPhys(at), &bytes));
    }

    /// The 64-bit word at `at`.
    pub fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        assert!(self.read_guest(GuestPhys(at), &mut bytes));
        u64::from_le_bytes(bytes)
    }

    pub fn take_events(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.events)
    }

    fn span(&self, start: GuestPhys, size: usize) -> Option<std::ops::Range<usize>> {
        let from = usize::try_from(start.0.checked_sub(MEMORY_BASE)?).ok()?;
        let to = from.checked_add(size)?;
        (to <= self.memory.len()).then_some(from..to)
    }
}

impl Machine for Mock {
    fn hart_count(&self) -> usize {
        self.status.len()
    }
    fn window_end(&self) -> u64 {
        WINDOW_END
    }

    fn machine_ids(&self) -> MachineIds {
        IDS
    }
    fn set_timer(&mut self, hart: usize, deadline: u64) {
        self.events.push(Happening::Timer(hart, deadline));
    }
    fn send_ipi(&mut self, hart: usize) {
        assert!(hart < self.status.len());
        self.events.push(Happening::Ipi(hart));
    }
    fn clear_ipi(&mut self, _hart: usize) -> bool {
        std::mem::take(&mut self.ipi_pending)
    }
    fn remote_fence_i(&mut self, harts: Harts) {
        self.events.push(Happening::FenceI(harts.collect()));
    }
    fn remote_sfence_vma(&mut self, harts: Harts, range: FenceRange, asid: Option<u16>) {
        self.events
            .push(Happening::SfenceVma(harts.collect(), range, asid));
    }
    fn hart_status(&self, hart: usize) -> HartStatus {
        self.status[hart]
    }
    fn hart_start(&mut self, hart: usize, start: Start) -> Result<(), StartError> {
        self.start_error.map_or(Ok(()), Err)?;
        self.status[hart] = HartStatus::Started;
        self.events.push(Happening::Start(hart, start));
        Ok(())
    }
    fn hart_stop(&mut self, hart: usize) {
        self.status[hart] = HartStatus::Stopped;
        self.events.push(Happening::Stop(hart));
    }
    fn reset(&mut self, kind: ResetKind, reason: ResetReason) {
        self.events.push(Happening::Reset(kind, reason));
    }
    fn per_hart(&mut self, hart: usize) -> &mut PerHart {
        &mut self.per_hart[hart]
    }
    fn event_total(&self, _hart: usize, event: Event) -> Option<u64> {
        self.totals.get(&event).copied()
    }
    fn misaligned_traps(&self) -> bool {
        self.misaligned_traps
    }
    fn console_write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.output.extend(&bytes[..taken]);
        taken
    }
    fn console_read(&mut self) -> Option<u8> {
        (!self.input.is_empty()).then(|| self.input.remove(0))
    }
    fn is_memory(&self, start: GuestPhys, size: u64) -> bool {
        assert_ne!(size, 0);
        usize::try_from(size).is_ok_and(|size| self.span(start, size).is_some())
    }
    fn read_guest(&self, from: GuestPhys, bytes: &mut [u8]) -> bool {
        let span = self.span(from, bytes.len());
        span.inspect(|span| bytes.copy_from_slice(&self.memory[span.clone()]))
            .is_some()
    }
    fn write_guest(&mut self, to: GuestPhys, bytes: &[u8]) -> bool {
        let span = self.span(to, bytes.len());
        span.inspect(|span| self.memory[span.clone()].copy_from_slice(bytes))
            .is_some()
    }
    fn read_guest_virtual(&mut self, _hart: usize, at: GuestVirt) -> Result<u64, Fault> {
        let fault = Fault {
            cause: Exception::LoadPage,
            address: at,
        };
        let offset = at.0.checked_sub(VIRTUAL_BASE).ok_or(fault)?;
        let mut bytes = [0; 8];
        if self.read_guest(GuestPhys(MEMORY_BASE + offset), &mut bytes) {
            Ok(u64::from_le_bytes(bytes))
        } else {
            Err(fault)
        }
    }
}

/// A call with these arguments, the rest of them junk that must not matter.
pub fn call(extension: u64, function: u64, arguments: &[u64]) -> Call {
    let mut all = [0xdead_beef_dead_beef; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    Call {
        extension,
        function,
        arguments: all,
    }
}

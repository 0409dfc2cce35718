//! A virtual machine with its lock: what happens to it as a whole.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Mutex;

use super::console::say;
use super::cpu::Cpu;
use super::doorbell::{Doorbell, FLUSH, LOOK};
use super::machine::{End, Machine};
use super::system;
use super::virtual_hart::Vcpu;

/// A virtual machine.
pub struct Vm {
    /// Its number.
    pub number: usize,
    pub name: String,
    pub doorbells: &'static [Doorbell],
    machine: Mutex<Machine>,
    vcpus: Box<[UnsafeCell<Vcpu>]>,
    /// The monitor had a fault in it: what the lock protects may be in any state, and is left alone.
    is_dead: AtomicBool,
    /// How often it has been reset.
    pub resets: AtomicU64,
}

// SAFETY: a `Vcpu` is accessed by Rust code under the machine's lock alone (see `vcpu`).
unsafe impl Sync for Vm {}
// SAFETY: nothing in it belongs to a hart of the host.
unsafe impl Send for Vm {}

impl Vm {
    /// A machine and its harts.
    pub fn new(machine: Machine, vcpus: Vec<Vcpu>) -> Self {
        Self {
            number: machine.number,
            name: machine.description.name.clone(),
            doorbells: machine.doorbells,
            machine: Mutex::new(machine),
            vcpus: vcpus.into_iter().map(UnsafeCell::new).collect(),
            is_dead: AtomicBool::new(false),
            resets: AtomicU64::new(0),
        }
    }

    /// Runs `work` under the machine's lock; `None` when the machine is dead.
    pub fn with<T>(&self, cpu: &Cpu, work: impl FnOnce(&mut Machine) -> T) -> Option<T> {
        if self.is_dead() {
            return None;
        }
        let mut machine = loop {
            match self.machine.try_lock() {
                Some(machine) => break machine,
                // The holder may be long about it; others run on this host hart too.
                None => cpu.serve_interrupts(),
            }
        };
        // The holder before may have had a fault.
        if self.is_dead() {
            return None;
        }
        cpu.set_holds(Some(self.number));
        let result = work(&mut machine);
        cpu.set_holds(None);
        Some(result)
    }

    /// A virtual hart.
    ///
    /// # Safety
    /// The machine's lock must be held, the hart must not be in the guest, and there must be no other
    /// reference to it.
    #[expect(clippy::mut_from_ref, reason = "the machine's lock protects it")]
    pub unsafe fn vcpu(&self, index: usize) -> &mut Vcpu {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.vcpus[index].get() }
    }

    /// The guest's `satp` of a hart that this host hart runs and that has just left the guest.
    pub fn satp(&self, index: usize) -> u64 {
        let vcpu = self.vcpus[index].get();
        // SAFETY: until its doorbell says that it has left, nobody but this host hart looks at it.
        unsafe { (*vcpu).block.hart.satp }
    }

    /// Starts the machine for the first time.
    pub fn power_on(&self, cpu: &Cpu) -> Result<(), String> {
        self.with(cpu, Machine::power_on).unwrap_or(Ok(()))
    }

    /// Ends the machine or starts it again. No reference to one of its harts may be left.
    pub fn finish(&self, machine: &mut Machine, end: End) {
        if !system::get().is_alive(self.number) {
            return;
        }
        // No hart has this index: all of them leave.
        machine.summon(usize::MAX, |_| true, FLUSH);
        machine.show_output();
        machine.reset_slots();
        machine.stand_still();
        // A device of the host that does not end a request.
        let end = machine.end.take().unwrap_or(end);
        let label = machine.label();
        let end = match end {
            End::Reset => {
                say!("{label}the guest resets; it starts again");
                match self.start_again(machine) {
                    Ok(()) => return,
                    Err(error) => End::Failed(error),
                }
            }
            other => other,
        };
        let success = match end {
            End::Failed(reason) => {
                say!("error: {label}{reason}");
                false
            }
            End::PowerOff(code) => {
                if machine.description.statistics {
                    let harts = 0..self.vcpus.len();
                    // SAFETY: the lock is held and no hart is in the guest.
                    let vcpus = harts.map(|index| unsafe { &*self.vcpus[index].get() });
                    say!("{}", machine.statistics_line(vcpus));
                }
                if code != 0 {
                    say!("error: {label}the guest powered off with failure code {code}");
                }
                code == 0
            }
            End::Reset => unreachable!("it was started again"),
        };
        system::get().ended(self.number, success);
    }

    fn start_again(&self, machine: &mut Machine) -> Result<(), String> {
        self.resets.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the lock is held and no hart is in the guest.
        let first = unsafe { self.vcpu(0) };
        let dropped = machine.shadow.flush_all();
        machine.apply(first, dropped);
        machine.patcher.borrow_mut().reset();
        for index in 1..self.vcpus.len() {
            // SAFETY: as above; it is another hart.
            unsafe { self.vcpu(index) }.reset();
        }
        first.reset();
        machine.power_on()?;
        self.doorbells[0].ask(LOOK);
        Ok(())
    }

    /// Whether the monitor had a fault in it.
    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// The monitor had a fault while it worked for this machine, whose lock `held` says that it held.
    ///
    /// # Safety
    /// If the lock is said to be held it must be, by what had the fault and does not go on.
    pub unsafe fn bury(&self, held: bool) {
        self.is_dead.store(true, Ordering::SeqCst);
        if held {
            // SAFETY: the caller's promise. Whoever gets the lock next finds the machine dead.
            unsafe { self.machine.force_unlock() };
        }
        for door in self.doorbells {
            door.set_deadline(u64::MAX);
            door.ask(LOOK);
        }
    }

    /// The general registers, `pc` and mode that a hart had at its last exit, for reports of faults.
    pub fn last_registers(&self, index: usize) -> ([u64; 32], u64, u64) {
        let vcpu = self.vcpus[index].get();
        // SAFETY: for reports of faults, in which nothing goes on that had a reference.
        unsafe {
            let hart = &raw const (*vcpu).block.hart;
            ((*hart).x, (*hart).pc, (*hart).mode as u64)
        }
    }
}

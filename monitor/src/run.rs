//! The run loop of a host hart: from a guest's exit to the next entry, or to sleep.

use sched::Pick;

use super::cpu::Cpu;
use super::doorbell::Doorbell;
use super::exit::INTERRUPT;
use super::machine::Machine;
use super::system::{self, System};
use super::vm::Vm;
use super::{csr, gate, window};

/// Called by the gate when a guest leaves: returns the address of the site cache of the virtual hart
/// that is entered next.
pub extern "C" fn handle_exit(cpu: &'static Cpu) -> *mut u8 {
    let system = system::get();
    let (cause, value) = (csr::read!("scause"), csr::read!("stval"));
    let current = cpu.current().expect("an exit is a virtual hart's");
    let (vm, index) = system.virtual_hart(current);
    vm.doorbells[index].leave(vm.satp(index));
    // The gate passes interrupts over at a patch, whatever the exit is for then.
    if cause & INTERRUPT != 0 {
        cpu.serve_interrupts();
    }
    let ready = vm.with(cpu, |machine| {
        // SAFETY: the machine's lock is held and the hart is not in the guest.
        let vcpu = unsafe { vm.vcpu(index) };
        if machine.runs(index) {
            machine.exit(vcpu, cause, value);
        } else {
            // It was stopped. What it ran on may go before it starts again.
            window::enter_own();
        }
        prepare(cpu, vm, machine, index)
    });
    match ready.flatten() {
        Some(cache) if try_enter(cpu, &vm.doorbells[index]) => cache,
        _ => go_on(cpu),
    }
}

/// Prepares a virtual hart for the guest, if it is to run on, and returns its site cache's address.
fn prepare(cpu: &Cpu, vm: &Vm, machine: &mut Machine, index: usize) -> Option<*mut u8> {
    if machine.end.is_none() && !cpu.must_choose() {
        // SAFETY: the machine's lock is held and the hart is not in the guest.
        let vcpu = unsafe { vm.vcpu(index) };
        let ready = machine.prepare(vcpu);
        if machine.end.is_none() {
            return ready.then(|| gate::block_address(&mut *vcpu.block));
        }
    }
    if let Some(end) = machine.end.take() {
        vm.finish(machine, end);
    }
    None
}

/// The last thing before the guest, without the machine's lock; false when there is something else to
/// do.
fn try_enter(cpu: &Cpu, door: &Doorbell) -> bool {
    cpu.update_timer();
    !cpu.must_choose() && !system::get().has_commands() && door.enter()
}

/// Runs virtual harts on a host hart that has not run any yet, or not since a fault.
pub extern "C" fn run(cpu: &'static Cpu) -> ! {
    let cache = go_on(cpu);
    // SAFETY: `enter` and `take_on` completed the block that the cache is part of.
    unsafe { gate::enter(cache) }
}

/// Finds the virtual hart that this host hart enters now, and returns its site cache's address.
fn go_on(cpu: &'static Cpu) -> *mut u8 {
    let system = system::get();
    loop {
        system.carry_out_commands(cpu);
        match cpu.current() {
            Some(current) if !cpu.must_choose() => {
                let (vm, index) = system.virtual_hart(current);
                match enter(cpu, vm, index) {
                    Some(cache) => return cache,
                    None if cpu.must_choose() || system.has_commands() => {}
                    None => block(cpu, system, current),
                }
            }
            current => choose(cpu, system, current),
        }
    }
}

/// Enters a virtual hart, unless there is something that it waits for.
fn enter(cpu: &'static Cpu, vm: &'static Vm, index: usize) -> Option<*mut u8> {
    let door = &vm.doorbells[index];
    loop {
        let ready = vm.with(cpu, |machine| prepare(cpu, vm, machine, index));
        let cache = ready.flatten()?;
        if try_enter(cpu, door) {
            return Some(cache);
        }
        cpu.serve_interrupts();
        if cpu.must_choose() || system::get().has_commands() {
            // It stays ready.
            return None;
        }
    }
}

/// The virtual hart of this host hart waits for something.
fn block(cpu: &'static Cpu, system: &'static System, current: usize) {
    give_up(cpu, system, current);
    let mut scheduler = system.scheduler.lock();
    scheduler.block(cpu.index, csr::time());
    drop(scheduler);
    cpu.set_current(None);
    // Whoever rang before it was blocked did not wake it.
    if system.doorbell(current).is_asked() {
        system.wake(current);
    }
}

/// Asks the scheduler what to run, and prepares for it; sleeps when there is nothing.
fn choose(cpu: &'static Cpu, system: &'static System, current: Option<usize>) {
    if let Some(current) = current {
        give_up(cpu, system, current);
    }
    cpu.choosing();
    let now = csr::time();
    let pick = system.scheduler.lock().pick(cpu.index, now);
    match pick {
        Pick::Run {
            vcpu,
            until,
            interrupt,
        } => {
            cpu.set_slice_end(until);
            if let Some(other) = interrupt {
                system.cpus[other].ask_to_choose();
            }
            cpu.set_current(Some(vcpu));
            take_on(cpu, system, vcpu);
            cpu.set_timer();
        }
        Pick::Idle { until } => {
            cpu.set_current(None);
            cpu.set_slice_end(until);
            window::enter_own();
            cpu.sleep();
        }
    }
}

/// Keeps what the hardware has of a virtual hart that another host hart may run from now on.
fn give_up(cpu: &'static Cpu, system: &'static System, current: usize) {
    let (vm, index) = system.virtual_hart(current);
    vm.with(cpu, |machine| {
        // SAFETY: the machine's lock is held and the hart is not in the guest.
        let vcpu = unsafe { vm.vcpu(index) };
        vcpu.extensions.save();
        machine.tell_preempted(vcpu);
    });
    window::enter_own();
}

/// Gives the hardware what a virtual hart has.
fn take_on(cpu: &'static Cpu, system: &'static System, vcpu: usize) {
    let (vm, index) = system.virtual_hart(vcpu);
    let door: &Doorbell = &vm.doorbells[index];
    let was_here = cpu.load(vcpu) && door.cpu() == cpu.index;
    door.set_cpu(cpu.index);
    vm.with(cpu, |machine| {
        // SAFETY: the machine's lock is held and the hart is not in the guest.
        let vcpu = unsafe { vm.vcpu(index) };
        vcpu.block.monitor_sp = cpu.stack;
        vcpu.block.monitor_tp = cpu as *const Cpu as u64;
        if !was_here {
            vcpu.extensions.load();
            // What this host hart remembers of the guest is as old as its last stay here.
            csr::fence_all();
            csr::fence_i();
        }
        machine.grant(vcpu);
        machine.tell_resumed(vcpu);
    });
}

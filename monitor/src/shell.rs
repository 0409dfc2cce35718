//! What the monitor's shell does.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

pub use terminal::Command;

use super::console::{self, say};
use super::cpu::Cpu;
use super::doorbell::LOOK;
use super::machine::{End, Machine};
use super::system::{System, Typed};
use super::vm::Vm;
use super::{csr, fault};

/// Names of the integer registers, in order (RISC-V calling convention).
const REGISTERS: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];

/// Carries out a command, and answers on the shell's console.
pub fn carry_out(system: &'static System, cpu: &Cpu, command: Command) {
    let answer = match command {
        Command::Vms => list(system),
        Command::Stats(vm) => statistics(cpu, &system.vms[vm]),
        Command::Pause(vm)
        | Command::Resume(vm)
        | Command::Stop(vm)
        | Command::Reset(vm)
        | Command::Break(vm)
            if !system.is_alive(vm) =>
        {
            format!("{} has ended already", system.vms[vm].name)
        }
        Command::Pause(vm) => pause(system, &system.vms[vm]),
        Command::Resume(vm) => resume(system, &system.vms[vm]),
        Command::Stop(vm) => end(system, cpu, &system.vms[vm], End::PowerOff(0)),
        Command::Reset(vm) => end(system, cpu, &system.vms[vm], End::Reset),
        Command::Break(vm) => {
            system.receive(vm, Typed::Break);
            format!("{} gets a BREAK", system.vms[vm].name)
        }
        Command::Dump(vm) => dump(cpu, &system.vms[vm]),
        Command::Trace { on, vm } => trace(system, cpu, on, vm),
        Command::PowerOff => {
            say!("the shell powers off");
            console::flush();
            fault::power_off(true)
        }
    };
    console::answer(&answer);
}

fn list(system: &System) -> String {
    let now = csr::time();
    let mut text = String::from("number  state    vcpus  ran s  stolen s  resets  name\n");
    for vm in &system.vms {
        let mut scheduler = system.scheduler.lock();
        let account = scheduler.vm_account(vm.number, now);
        let stolen: u64 = vm
            .doorbells
            .iter()
            .map(|door| scheduler.vcpu_account(door.vcpu, now).stolen)
            .sum();
        drop(scheduler);
        let state = match account.state {
            _ if vm.is_dead() => "dead",
            _ if !system.is_alive(vm.number) => "ended",
            sched::VmState::Active => "runs",
            sched::VmState::Paused => "paused",
            sched::VmState::Stopped => "stopped",
        };
        let seconds = |ticks: u64| ticks as f64 / system.clock.timebase as f64;
        let _ = writeln!(
            text,
            "{:<7} {state:<8} {:<6} {:<6.1} {:<9.1} {:<7} {}",
            vm.number + 1,
            vm.doorbells.len(),
            seconds(account.ran),
            seconds(stolen),
            vm.resets.load(core::sync::atomic::Ordering::Relaxed),
            vm.name,
        );
    }
    text
}

/// Runs `work` with a machine none of whose harts is in the guest.
fn with_stopped(vm: &Vm, cpu: &Cpu, work: impl FnOnce(&mut Machine) -> String) -> String {
    vm.with(cpu, |machine| {
        machine.summon(usize::MAX, |_| true, LOOK);
        work(machine)
    })
    .unwrap_or_else(|| format!("{} is dead: the monitor had a fault in it", vm.name))
}

fn statistics(cpu: &Cpu, vm: &'static Vm) -> String {
    with_stopped(vm, cpu, |machine| {
        let harts = 0..machine.doorbells.len();
        // SAFETY: the lock is held and no hart is in the guest.
        let vcpus = harts.map(|index| unsafe { &*vm.vcpu(index) });
        machine.statistics_line(vcpus)
    })
}

fn pause(system: &System, vm: &Vm) -> String {
    let cpus = system.scheduler.lock().pause(vm.number);
    system.ask_to_choose(cpus);
    format!(
        "{} is paused; `resume {}` lets it go on",
        vm.name,
        vm.number + 1
    )
}

fn resume(system: &System, vm: &Vm) -> String {
    let cpus = system.scheduler.lock().resume(vm.number, csr::time());
    system.ask_to_choose(cpus);
    format!("{} goes on", vm.name)
}

fn end(system: &System, cpu: &Cpu, vm: &'static Vm, end: End) -> String {
    vm.with(cpu, |machine| vm.finish(machine, end));
    let cpus = system.scheduler.lock().resume(vm.number, csr::time());
    system.ask_to_choose(cpus);
    String::new()
}

fn dump(cpu: &Cpu, vm: &'static Vm) -> String {
    with_stopped(vm, cpu, |machine| {
        let mut text = String::new();
        for index in 0..machine.doorbells.len() {
            // SAFETY: the lock is held and no hart is in the guest.
            let vcpu = unsafe { &*vm.vcpu(index) };
            let hart = &vcpu.block.hart;
            let state = machine.states[index];
            let _ = writeln!(
                text,
                "hart {index}: {state:?}, {:?}, pc {:#x}",
                hart.mode, hart.pc
            );
            for (row, names) in REGISTERS.chunks(4).enumerate() {
                for (column, name) in names.iter().enumerate() {
                    let _ = write!(text, "  {name:<4} {:016x}", hart.x[row * 4 + column]);
                }
                text.push('\n');
            }
            let csrs = [
                ("sstatus", hart.sstatus),
                ("sie", hart.sie),
                ("sip", hart.sip),
                ("stvec", hart.stvec),
                ("sscratch", hart.sscratch),
                ("sepc", hart.sepc),
                ("scause", hart.scause),
                ("stval", hart.stval),
                ("satp", hart.satp),
            ];
            for row in csrs.chunks(3) {
                for (name, value) in row {
                    let _ = write!(text, "  {name:<8} {value:016x}");
                }
                text.push('\n');
            }
            for exit in vcpu.exits.latest() {
                let _ = writeln!(text, "  exit {exit}");
            }
        }
        text
    })
}

fn trace(system: &'static System, cpu: &Cpu, on: bool, vm: Option<usize>) -> String {
    for traced in &system.vms {
        if vm.is_none_or(|vm| vm == traced.number) {
            traced.with(cpu, |machine| machine.trace = on);
        }
    }
    let state = if on { "on" } else { "off" };
    format!("the trace of slow exits is {state}")
}

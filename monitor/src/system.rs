//! The whole: the host's harts, the machines, who runs where, and what is typed.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sched::{Scheduler, Share};
use spin::{Mutex, Once};

use super::clock::Clock;
use super::console::{self, say};
use super::cpu::Cpu;
use super::doorbell::{Doorbell, LOOK};
use super::host_disk::Owner;
use super::host_virtio::HostDevices;
use super::interrupts::HostController;
use super::links::Links;
use super::network::Network;
use super::shell::{self, Command};
use super::vm::Vm;
use super::{csr, fault};

/// What a machine's line brings.
#[derive(Clone, Copy, Debug)]
pub enum Typed {
    Byte(u8),
    /// A BREAK: the zero byte that a UART marks.
    Break,
}

/// Typed characters that wait for a machine.
const MOST_INPUT: usize = 4096;

/// A request of a machine's device has ended.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// What the machine knows the device by.
    pub device: usize,
    /// What the device knows the request by.
    pub token: u16,
    pub status: virtio::Status,
}

/// Interrupts of the host's devices that are served in a row.
const MOST_CLAIMS: usize = 16;

/// Commands that wait to be carried out; who types more of them has to type the rest again.
const MOST_COMMANDS: usize = 16;

/// Everything that the host harts share.
pub struct System {
    pub cpus: Box<[Cpu]>,
    pub vms: Box<[Vm]>,
    pub scheduler: Mutex<Scheduler>,
    pub clock: Clock,
    /// For each number in the scheduler, the machine and the hart in it.
    virtual_harts: Box<[(usize, usize)]>,
    /// Typed characters that each machine's UART has no room for yet.
    input: Box<[Mutex<VecDeque<Typed>>]>,
    commands: Mutex<VecDeque<Command>>,
    has_commands: AtomicBool,
    controller: Option<HostController>,
    /// Something of the host's has no interrupt: the first host hart looks at everything from time to time.
    pub polled: bool,
    pub devices: HostDevices,
    pub network: Network,
    pub links: Links,
    /// What each machine's devices have not been told yet.
    arrivals: Box<[Mutex<VecDeque<Arrival>>]>,
    /// Machines that have not ended: a bit for each.
    alive: AtomicU64,
    failed: AtomicBool,
}

static SYSTEM: Once<System> = Once::new();

/// The system. It is there before any guest runs.
pub fn get() -> &'static System {
    SYSTEM.get().expect("the system is there when a guest runs")
}

/// The system, if it is there already.
pub fn try_get() -> Option<&'static System> {
    SYSTEM.get()
}

/// What a system is made of.
pub struct Parts {
    pub cpus: Vec<Cpu>,
    pub vms: Vec<Vm>,
    pub scheduler: Scheduler,
    pub virtual_harts: Vec<(usize, usize)>,
    pub clock: Clock,
    pub controller: Option<HostController>,
    pub polled: bool,
    pub devices: HostDevices,
    pub network: Network,
    pub links: Links,
    /// Whether a machine could not be made.
    pub failed: bool,
}

/// Puts it together, once.
pub fn set(parts: Parts) -> &'static System {
    let count = parts.vms.len();
    SYSTEM.call_once(|| System {
        cpus: parts.cpus.into(),
        vms: parts.vms.into(),
        scheduler: Mutex::new(parts.scheduler),
        clock: parts.clock,
        virtual_harts: parts.virtual_harts.into(),
        input: (0..count).map(|_| Mutex::new(VecDeque::new())).collect(),
        commands: Mutex::new(VecDeque::new()),
        has_commands: AtomicBool::new(false),
        controller: parts.controller,
        polled: parts.polled,
        devices: parts.devices,
        network: parts.network,
        links: parts.links,
        arrivals: (0..count).map(|_| Mutex::new(VecDeque::new())).collect(),
        alive: AtomicU64::new((1 << count) - 1),
        failed: AtomicBool::new(parts.failed),
    })
}

impl System {
    /// The machine of a number in the scheduler, and the hart in it.
    pub fn virtual_hart(&self, vcpu: usize) -> (&'_ Vm, usize) {
        let (vm, index) = self.virtual_harts[vcpu];
        (&self.vms[vm], index)
    }

    /// Its doorbell.
    pub fn doorbell(&self, vcpu: usize) -> &Doorbell {
        let (vm, index) = self.virtual_hart(vcpu);
        &vm.doorbells[index]
    }

    fn doorbells(&self) -> impl Iterator<Item = &Doorbell> {
        self.vms.iter().flat_map(|vm| vm.doorbells)
    }

    /// Something happened that a virtual hart may wait for.
    pub fn wake(&self, vcpu: usize) {
        let cpu = self.scheduler.lock().wake(vcpu, csr::time());
        if let Some(cpu) = cpu {
            self.cpus[cpu].ask_to_choose();
        }
    }

    /// The virtual hart that this host hart runs has interrupted another of its machine, and may be
    /// waiting for it.
    pub fn yield_to(&self, cpu: usize, vcpu: usize) {
        if self.scheduler.lock().yield_to(cpu, vcpu, csr::time()) {
            self.cpus[cpu].choose_soon();
        }
    }

    /// Interrupts those of the host harts in the mask, so that they ask the scheduler.
    pub fn ask_to_choose(&self, cpus: u64) {
        for cpu in self.cpus.iter().filter(|cpu| cpus >> cpu.index & 1 != 0) {
            cpu.ask_to_choose();
        }
    }

    /// Fires the timers that are due, of the virtual harts that this host hart looks after.
    pub fn fire_timers(&self, cpu: &Cpu, now: u64) {
        for door in self.doorbells().filter(|door| door.cpu() == cpu.index) {
            door.fire(now);
        }
    }

    /// When the next of these is due.
    pub fn next_timer(&self, cpu: &Cpu) -> u64 {
        let doors = self.doorbells().filter(|door| door.cpu() == cpu.index);
        doors.map(Doorbell::next_timer).min().unwrap_or(u64::MAX)
    }

    /// The host's console or one of its devices has something. Those that interrupt again and again do so
    /// after the host hart's timer and scheduler have had their turn.
    pub fn external_interrupt(&self) {
        let Some(controller) = &self.controller else {
            return;
        };
        for source in core::iter::from_fn(|| controller.claim()).take(MOST_CLAIMS) {
            if !self.devices.serve(source) {
                self.poll_input();
            }
            controller.complete(source);
        }
    }

    /// Looks at the host's console and devices as if each had interrupted.
    pub fn poll(&self) {
        self.devices.serve_all();
        self.poll_input();
    }

    /// A request of this owner has ended. Its machine is to be told with [`ring`](Self::ring).
    pub fn arrived(&self, owner: Owner, token: u16, status: virtio::Status) {
        let arrival = Arrival {
            device: owner.device,
            token,
            status,
        };
        // No more than were in flight.
        self.arrivals[owner.vm].lock().push_back(arrival);
    }

    /// Tells the machines in the mask, a bit for each, to look at what arrived.
    pub fn ring(&self, vms: u64) {
        for vm in self.vms.iter().filter(|vm| vms >> vm.number & 1 != 0) {
            vm.doorbells[0].ask(LOOK);
        }
    }

    /// The oldest arrival that a machine has not taken.
    pub fn take_arrival(&self, vm: usize) -> Option<Arrival> {
        self.arrivals[vm].lock().pop_front()
    }

    /// Forgets what has arrived for a device.
    pub fn forget_arrivals(&self, owner: Owner) {
        let mut arrivals = self.arrivals[owner.vm].lock();
        arrivals.retain(|arrival| arrival.device != owner.device);
    }

    /// Waits until no request of a device is in flight, nor any arrival of it left: nothing writes to the
    /// machine's memory for it then.
    ///
    /// # Errors
    /// A disk of the host does not end a request. The machine must end.
    pub fn drain(&self, owner: Owner) -> Result<(), String> {
        let mut disks = self.devices.disks.iter();
        disks.try_for_each(|disk| disk.drain(owner))
    }

    /// Takes what was typed.
    pub fn poll_input(&self) {
        console::receive(|input| match input {
            terminal::Input::Vm(vm, byte) => self.receive(vm, Typed::Byte(byte)),
            terminal::Input::Break(vm) => self.receive(vm, Typed::Break),
            terminal::Input::Command(command) => {
                let mut commands = self.commands.lock();
                if commands.len() < MOST_COMMANDS {
                    commands.push_back(command);
                }
                drop(commands);
                self.has_commands.store(true, Ordering::SeqCst);
            }
        });
    }

    /// A machine's line brings something.
    pub fn receive(&self, vm: usize, typed: Typed) {
        let mut input = self.input[vm].lock();
        // As a UART does whose reader is asleep: what does not fit is lost.
        if input.len() < MOST_INPUT {
            input.push_back(typed);
        }
        drop(input);
        self.vms[vm].doorbells[0].ask(LOOK);
    }

    /// Offers what was typed for a machine to `take`, as long as that returns true; whether anything was
    /// taken.
    pub fn offer_input(&self, vm: usize, mut take: impl FnMut(Typed) -> bool) -> bool {
        // Not locked while it is taken: nobody else takes any, for the machine's lock is held.
        let input = &self.input[vm];
        let front = || input.lock().front().copied();
        let mut taken = false;
        while let Some(typed) = front()
            && take(typed)
        {
            input.lock().pop_front();
            taken = true;
        }
        taken
    }

    /// A byte that was typed for a machine.
    pub fn take_input(&self, vm: usize) -> Option<u8> {
        match self.input[vm].lock().pop_front()? {
            Typed::Byte(byte) => Some(byte),
            Typed::Break => Some(0),
        }
    }

    /// Whether something was typed to the shell that is still to be carried out.
    pub fn has_commands(&self) -> bool {
        self.has_commands.load(Ordering::SeqCst)
    }

    /// Carries out what was typed to the shell.
    pub fn carry_out_commands(&'static self, cpu: &Cpu) {
        if self.has_commands() {
            self.has_commands.store(false, Ordering::SeqCst);
            loop {
                let command = self.commands.lock().pop_front();
                match command {
                    Some(command) => shell::carry_out(self, cpu, command),
                    None => break,
                }
            }
            self.scheduler.lock().excuse(cpu.index, csr::time());
        }
    }

    /// What lines about a machine begin with, where it is not the only one.
    pub fn label(&self, vm: usize) -> String {
        match &self.vms[..] {
            [_] => String::new(),
            vms => format!("{}: ", vms[vm].name),
        }
    }

    /// Whether nobody is at a queue between machines, or between them and the host, at the moment.
    pub fn queues_are_free(&self) -> bool {
        self.input.iter().all(|input| input.try_lock().is_some())
            && self.arrivals.iter().all(|one| one.try_lock().is_some())
            && self.commands.try_lock().is_some()
            && self.network.is_free()
            && self.links.is_free()
    }

    /// Whether a machine has not ended.
    pub fn is_alive(&self, vm: usize) -> bool {
        self.alive.load(Ordering::SeqCst) >> vm & 1 != 0
    }

    /// A machine has ended. With the last one the board powers off.
    pub fn ended(&self, vm: usize, success: bool) {
        if !success {
            self.failed.store(true, Ordering::SeqCst);
        }
        let left = self.alive.fetch_and(!(1 << vm), Ordering::SeqCst) & !(1 << vm);
        if left == 0 {
            console::flush();
            fault::power_off(!self.failed.load(Ordering::SeqCst));
        }
        say!(
            "{}ended; {} of the machines still run",
            self.label(vm),
            left.count_ones()
        );
    }
}

/// The share of a machine, from its description.
pub fn share(description: &bundle::Vm) -> Share {
    Share {
        weight: description.weight,
        cap: description.cap,
    }
}

//! From the bundle to running machines.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bundle::{Bundle, Source};
use devices::host_tree::HostTree;
use sched::Scheduler;

use super::clock::Clock;
use super::console::{self, say};
use super::cpu::Cpu;
use super::doorbell::Doorbell;
use super::entropy::Entropy;
use super::host::Host;
use super::host_virtio::HostDevices;
use super::layout::Layout;
use super::links::Links;
use super::machine::{Machine, Memory, Parts};
use super::network::Network;
use super::vm::Vm;
use super::window::{self, Image};
use super::{boot, fault, heap, interrupts, run, system};

/// The share of the heap that is not spoken for: one in so many. It is for what comes and goes.
const UNPLANNED: u64 = 8;

/// Opens the bundle, makes the machines that it describes, and runs them for good.
pub fn start(image: Image, tree: &HostTree, host: &Host, layout: Layout, entropy: Entropy) -> ! {
    let bundle = bundle::open(layout.bundle).unwrap_or_else(|error| fault::stop(&error));
    let bundle: &'static Bundle = Box::leak(Box::new(bundle));
    let described = &bundle.description().vms;
    let mut cpus = host_harts(tree, host, described);
    window::map(&image, layout.memory_end);
    if !host.wfi_traps {
        say!(
            "`wfi` does not trap in U-mode here: pages of guests' kernels are searched for it before they are executed"
        );
    }
    let clock = Clock::new(tree);
    entropy.stir(clock.now().unwrap_or(0));
    let devices = HostDevices::probe(tree, entropy, |disk| pieces(described, disk));
    if !devices.entropy.has_entropy() {
        say!(
            "no random bytes for guests: they get no rng-seed, and Linux is slow until it has collected some; give the host \
             an entropy device (`-device virtio-rng-device`) or an rng-seed in its device tree, or put fresh bytes behind the bundle"
        );
    }
    let network = Network::new(described).unwrap_or_else(|error| fault::stop(&error));
    let parts = Parts {
        host,
        bundle,
        devices: &devices,
        network: &network,
        copies: (layout.copies / 4096) as usize / described.len(),
        knows_the_day: clock.knows_the_day(),
    };
    let mut memory = Memory::new(layout.free, layout.heap_size - layout.heap_size / UNPLANNED);
    let mut scheduler = Scheduler::new(cpus.len(), clock.timebase);
    let (mut vms, mut virtual_harts, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let mut ports = Vec::new();
    for description in described {
        let number = vms.len();
        let doorbells: Vec<_> = (0..description.vcpus as usize)
            .map(|hart| Doorbell::new(virtual_harts.len() + hart))
            .collect();
        let doorbells: &'static [Doorbell] = Box::leak(doorbells.into_boxed_slice());
        let made = memory
            .attempt(|memory| Machine::new(number, description.clone(), doorbells, &parts, memory));
        match made {
            Ok((machine, vcpus)) => {
                vms.push(Vm::new(machine, vcpus));
                network.connect(&description.name, number);
                ports.push(&description.ports[..]);
                let vm = scheduler.add_vm(system::share(description));
                for hart in 0..doorbells.len() {
                    scheduler.add_vcpu(vm, allowed(&description.pin, hart, cpus.len()));
                    virtual_harts.push((number, hart));
                }
            }
            Err(error) => errors.push((description.name.clone(), error)),
        }
    }
    refuse(&errors, described.len(), vms.is_empty());
    console::share(
        vms.iter().map(|vm| vm.name.clone()).collect(),
        bundle.description().console,
    );
    cpus.shrink_to_fit();
    let console = tree.uart.as_ref().and_then(|uart| uart.interrupt);
    let wanted: Vec<_> = core::iter::once(console)
        .chain(devices.interrupts())
        .collect();
    let (controller, polled) = interrupts::connect(tree, host.hart, &wanted);
    heap::reserve();
    let system = system::set(system::Parts {
        cpus,
        vms,
        scheduler,
        virtual_harts,
        clock,
        controller,
        polled,
        devices,
        network,
        links: Links::new(ports.into_iter()),
        failed: !errors.is_empty(),
    });
    if let Some(net) = &system.devices.net {
        net.listen(|bytes| system::get().network.received(bytes));
    }
    let cpu = &system.cpus[0];
    boot::use_cpu(cpu);
    cpu.start();
    for vm in &system.vms {
        match vm.power_on(cpu) {
            Ok(()) => system.wake(vm.doorbells[0].vcpu),
            Err(error) => {
                say!("error: {}{error}", system.label(vm.number));
                system.ended(vm.number, false);
            }
        }
    }
    for other in &system.cpus[1..] {
        boot::start_cpu(other, &image);
    }
    run::run(cpu)
}

/// Says which machines there is no room for. When none is left, the board stops.
fn refuse(errors: &[(String, String)], described: usize, none_left: bool) {
    for (name, error) in errors {
        if described == 1 {
            fault::stop(error);
        }
        say!("error: {name} is not started: {error}");
    }
    if none_left {
        fault::stop(&"no machine of the bundle could be started");
    }
}

/// How many pieces of the disk with this number guests have.
fn pieces(vms: &[bundle::Vm], number: usize) -> usize {
    let disks = vms.iter().flat_map(|vm| &vm.disks);
    let on_it = disks.filter(|disk| match disk.source {
        Source::Device(device) | Source::Partition { device, .. } => device as usize == number,
        Source::File { .. } => false,
    });
    on_it.count()
}

/// The host harts that run guests, the present one first: as many as there may be use for.
fn host_harts(tree: &HostTree, host: &Host, vms: &[bundle::Vm]) -> Vec<Cpu> {
    let virtual_harts: usize = vms.iter().map(|vm| vm.vcpus as usize).sum();
    let pinned = vms.iter().flat_map(|vm| &vm.pin).max();
    let useful = virtual_harts.max(pinned.map_or(0, |&cpu| cpu as usize + 1));
    let own = tree.harts.iter().find(|hart| hart.id == host.hart);
    let like_own = tree.harts.iter().filter(|hart| {
        let same = own.is_none_or(|own| {
            (&own.isa, &own.isa_extensions, &own.mmu_type)
                == (&hart.isa, &hart.isa_extensions, &hart.mmu_type)
        });
        hart.id != host.hart && hart.enabled && hart.mmu_type.is_some() && same
    });
    let ids = core::iter::once(host.hart).chain(like_own.map(|hart| hart.id));
    let ids = ids.take(useful.clamp(1, sched::MOST_CPUS));
    ids.enumerate()
        .map(|(index, id)| Cpu::new(index, id))
        .collect()
}

/// The host harts that a virtual hart may run on, as a mask.
fn allowed(pin: &[u32], hart: usize, cpus: usize) -> u64 {
    match pin {
        [] => u64::MAX,
        pin => {
            let cpu = pin[hart % pin.len()] as usize;
            // A pin beyond what the host has is no reason not to run.
            1 << cpu.min(cpus - 1)
        }
    }
}

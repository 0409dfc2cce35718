//! Random machines. The simulation itself checks what must hold at each moment.

use crate::machine::{Load, MS, Machine, SECOND, US};
use proptest::prelude::*;
use sched::{Share, VmState};

#[derive(Clone, Debug)]
struct Vm {
    share: Share,
    vcpus: Vec<(u64, Load)>,
}

fn load() -> impl Strategy<Value = Load> {
    prop_oneof![
        Just(Load::Spins),
        (1..20 * MS, 1..50 * MS).prop_map(|(run, sleep)| Load::Sleeps {
            run: 1..run + 1,
            sleep: 1..sleep + 1,
        }),
    ]
}

fn vm(cpus: usize) -> impl Strategy<Value = Vm> {
    let mask = prop_oneof![Just(u64::MAX), (1..1_u64 << cpus)];
    let share = (
        prop_oneof![Just(100_u32), 1..10_001_u32],
        prop::option::weighted(0.3, 1..250_u32),
    );
    let vcpus = prop::collection::vec((mask, load()), 1..5);
    (share, vcpus).prop_map(|((weight, cap), vcpus)| Vm {
        share: Share { weight, cap },
        vcpus,
    })
}

fn machine() -> impl Strategy<Value = (usize, Vec<Vm>, Vec<(u8, u8)>, u64)> {
    (1..5_usize).prop_flat_map(|cpus| {
        let vms = prop::collection::vec(vm(cpus), 1..6);
        let events = prop::collection::vec(any::<(u8, u8)>(), 0..20);
        (Just(cpus), vms, events, any::<u64>())
    })
}

fn build(cpus: usize, vms: &[Vm], seed: u64) -> Machine {
    let mut machine = Machine::new(cpus, seed);
    for vm in vms {
        let number = machine.vm(vm.share, 0, &[]);
        for (mask, load) in &vm.vcpus {
            machine.vcpu(number, *mask, load.clone());
        }
    }
    machine
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn accounts_are_what_happened_and_nobody_waits_for_ever((cpus, vms, _, seed) in machine()) {
        let mut machine = build(cpus, &vms, seed);
        machine.run_for(3 * SECOND);
        machine.check_accounts();
        let all = machine.vcpus.len() as u64;
        for vcpu in &machine.vcpus {
            if vms[vcpu.vm].share.cap.is_none() {
                let most = SECOND + 11 * MS * all;
                prop_assert!(vcpu.longest_wait <= most, "{}", vcpu.longest_wait);
            }
        }
    }

    #[test]
    fn paused_and_stopped_vms_do_not_run((cpus, vms, events, seed) in machine()) {
        let mut machine = build(cpus, &vms, seed);
        for (what, which) in events {
            let vm = usize::from(which) % vms.len();
            let state = match what % 4 {
                0 | 1 => VmState::Active,
                2 => VmState::Paused,
                _ => VmState::Stopped,
            };
            machine.set(vm, state);
            // What runs has `delay` to leave.
            machine.run_for(machine.delay + 1);
            if state == VmState::Active {
                for id in 0..machine.vcpus.len() {
                    if machine.vcpus[id].vm == vm {
                        machine.wake_at(id, machine.now + u64::from(what) * 10 * US);
                    }
                }
            } else {
                prop_assert_eq!(machine.scheduler.vm_account(vm, machine.now).cpus, 0);
                prop_assert_eq!(machine.run_for(u64::from(what) * 100 * US)[vm], 0);
            }
            machine.run_for(u64::from(which) * 100 * US);
            machine.check_accounts();
        }
    }

    #[test]
    fn an_idle_machine_asks_for_nothing(cpus in 1..5_usize, vms in prop::collection::vec(vm(4), 0..4)) {
        let mut machine = Machine::new(cpus, 0);
        for vm in &vms {
            let number = machine.vm(vm.share, 0, &[]);
            let id = machine.vcpu(number, u64::MAX, Load::Sleeps { run: MS..2 * MS, sleep: SECOND..2 * SECOND });
            machine.wake_at(id, 0);
        }
        machine.run_for(500 * MS);
        for cpu in 0..cpus {
            prop_assert!(machine.is_idle(cpu));
            prop_assert_eq!(machine.scheduler.pick(cpu, machine.now), sched::Pick::Idle { until: None });
        }
    }
}

//! Who gets how much host time, how soon, and who does not.

use crate::machine::{Load, MS, Machine, SECOND, US};
use sched::Share;

/// What VMs with these (weight, vCPUs), all spinning, should have of `cpus` host harts, in
/// host harts: by weight, and what one cannot use is shared by the others.
fn ideal(cpus: usize, vms: &[(u32, usize)]) -> Vec<f64> {
    let mut got = vec![None; vms.len()];
    loop {
        let taken: f64 = got.iter().flatten().sum();
        let open = |index: &usize| got[*index].is_none();
        let weights = (0..vms.len())
            .filter(open)
            .map(|index| f64::from(vms[index].0));
        let each = (cpus as f64 - taken) / weights.sum::<f64>();
        let full = (0..vms.len())
            .filter(open)
            .find(|&index| vms[index].1.min(cpus) as f64 <= each * f64::from(vms[index].0));
        match full {
            Some(index) => got[index] = Some(vms[index].1.min(cpus) as f64),
            None => {
                let part = |(index, got): (usize, &Option<f64>)| {
                    got.unwrap_or(each * f64::from(vms[index].0))
                };
                return got.iter().enumerate().map(part).collect();
            }
        }
    }
}

fn assert_shares(cpus: usize, vms: &[(u32, usize)]) {
    let mut machine = Machine::new(cpus, 1);
    for &(weight, vcpus) in vms {
        machine.spinners(weight, vcpus);
    }
    let ran = machine.run_for(10 * SECOND);
    for ((ran, ideal), vm) in ran.iter().zip(ideal(cpus, vms)).zip(vms) {
        let got = *ran as f64 / (10 * SECOND) as f64;
        assert!(
            (got - ideal).abs() <= 0.05 * ideal,
            "{vm:?} of {vms:?} on {cpus}: {got} instead of {ideal}"
        );
    }
    machine.check_accounts();
}

#[test]
fn spinning_vms_share_one_host_hart_by_weight() {
    assert_shares(1, &[(100, 1), (100, 1)]);
    assert_shares(1, &[(100, 1), (300, 1)]);
    assert_shares(1, &[(100, 1), (200, 1), (700, 1)]);
    assert_shares(1, &[(1000, 1), (3000, 1), (100, 1)]);
}

#[test]
fn a_vm_gets_no_more_for_having_more_vcpus() {
    assert_shares(1, &[(100, 1), (100, 8)]);
    assert_shares(2, &[(100, 2), (100, 8)]);
    assert_shares(4, &[(100, 4), (300, 4), (200, 16)]);
}

#[test]
fn what_a_vm_with_few_vcpus_cannot_use_is_shared_by_the_others() {
    assert_shares(2, &[(100, 1), (100, 1), (100, 1)]);
    assert_shares(2, &[(300, 1), (100, 1), (200, 1)]);
    assert_shares(4, &[(100, 1), (100, 4), (100, 4)]);
    assert_shares(4, &[(1000, 1), (100, 4), (300, 8)]);
    assert_shares(3, &[(100, 2), (300, 2), (50, 3)]);
}

#[test]
fn vcpus_of_one_vm_share_what_it_gets() {
    let mut machine = Machine::new(2, 1);
    machine.spinners(100, 5);
    machine.run_for(10 * SECOND);
    for vcpu in &machine.vcpus {
        let part = vcpu.ran as f64 / (4 * SECOND) as f64;
        assert!((0.9..1.1).contains(&part), "{part}");
        assert!(vcpu.longest_wait <= 50 * MS);
    }
}

#[test]
fn pinned_vms_share_their_host_hart_by_weight_though_others_run_ahead_elsewhere() {
    let mut machine = Machine::new(2, 1);
    let share = |weight| Share { weight, cap: None };
    machine.vm(share(100), 0b01, &[Load::Spins]);
    machine.vm(share(300), 0b01, &[Load::Spins]);
    machine.vm(share(100), 0b10, &[Load::Spins]);
    let ran = machine.run_for(10 * SECOND);
    let ratio = ran[1] as f64 / ran[0] as f64;
    assert!((2.85..3.15).contains(&ratio), "{ratio}");
    assert!(ran[2] > 9_990 * MS);
}

#[test]
fn a_spinning_vm_cannot_starve_another() {
    let mut machine = Machine::new(1, 1);
    machine.spinners(10_000, 4);
    let small = machine.spinners(1, 1);
    machine.run_for(30 * SECOND);
    assert!(machine.ran(small) > 0);
    let vcpu = machine.vcpus.iter().find(|vcpu| vcpu.vm == small);
    let waited = vcpu.expect("there is one").longest_wait;
    assert!(waited <= 1011 * MS, "{waited}");
}

#[test]
fn a_vcpu_pinned_beside_a_vm_that_has_less_is_not_starved() {
    let mut machine = Machine::new(4, 1);
    let large = machine.vm(Share::default(), 0, &[]);
    for cpu in 0..4 {
        machine.vcpu(large, 1 << cpu, Load::Spins);
    }
    machine.vm(Share::default(), 0b1, &[Load::Spins]);
    machine.run_for(20 * SECOND);
    assert!(
        machine
            .vcpus
            .iter()
            .all(|vcpu| vcpu.longest_wait <= 1011 * MS)
    );
}

#[test]
fn a_vm_that_slept_gets_no_credit_for_it() {
    let mut machine = Machine::new(1, 1);
    machine.spinners(100, 1);
    machine.run_for(60 * SECOND);
    machine.spinners(100, 1);
    let ran = machine.run_for(100 * MS);
    assert!(ran[0] >= 30 * MS, "{ran:?}");
    assert!(ran[1] >= 45 * MS, "{ran:?}");
}

#[test]
fn a_vm_that_ran_alone_owes_nothing() {
    let mut machine = Machine::new(2, 1);
    let once = Load::Sleeps {
        run: 59 * SECOND..60 * SECOND,
        sleep: 1000 * SECOND..1001 * SECOND,
    };
    let alone = machine.vm(Share::default(), 0b01, &[once]);
    machine.vm(Share::default(), 0b10, &[Load::Spins]);
    machine.vm(Share::default(), 0b10, &[Load::Spins]);
    machine.run_for(61 * SECOND);
    // Now it has to compete, with VMs that had half as much.
    let second = machine.vcpu(alone, 0b10, Load::Spins);
    machine.run_for(SECOND);
    let waited = machine.vcpus[second].longest_wait;
    assert!(waited <= 100 * MS, "{waited}");
}

#[test]
fn a_sleeper_among_spinners_runs_at_once() {
    for (cpus, weight) in [(1, 100), (1, 50), (2, 100), (4, 100)] {
        let mut machine = Machine::new(cpus, 7);
        for _ in 0..3 {
            machine.spinners(100, cpus);
        }
        let load = Load::Sleeps {
            run: 200 * US..400 * US,
            sleep: 6 * MS..14 * MS,
        };
        let sleeper = machine.vm(Share { weight, cap: None }, u64::MAX, &[load]);
        // At first nobody has a past, and all take turns.
        machine.run_for(SECOND);
        let vcpu = machine.vcpus.len() - 1;
        machine.vcpus[vcpu].longest_wait = 0;
        let ran = machine.run_for(10 * SECOND)[sleeper];
        assert!(ran >= 250 * MS, "{ran}");
        let vcpu = &machine.vcpus[vcpu];
        assert!(
            vcpu.longest_wait <= 100 * US,
            "{} on {cpus}, {weight}",
            vcpu.longest_wait
        );
    }
}

#[test]
fn sleeping_just_before_the_slice_ends_gains_nothing() {
    let mut machine = Machine::new(1, 7);
    machine.spinners(100, 1);
    let load = Load::Sleeps {
        run: 9 * MS..10 * MS,
        sleep: 100 * US..200 * US,
    };
    machine.vm(Share::default(), u64::MAX, &[load]);
    let ran = machine.run_for(10 * SECOND);
    assert!(ran[1] as f64 <= 1.05 * ran[0] as f64, "{ran:?}");
}

#[test]
fn a_heavy_vm_that_sleeps_often_keeps_its_share_beside_a_light_one() {
    let mut machine = Machine::new(1, 7);
    machine.spinners(1, 1);
    let load = Load::Sleeps {
        run: 20 * MS..30 * MS,
        sleep: 100 * US..200 * US,
    };
    let share = Share {
        weight: 100,
        cap: None,
    };
    machine.vm(share, u64::MAX, &[load]);
    let ran = machine.run_for(10 * SECOND);
    assert!(ran[1] > 9_500 * MS, "{ran:?}");
}

#[test]
fn a_cap_holds_and_is_all_given() {
    for (cpus, cap, vcpus) in [(1, 20, 1), (2, 150, 2), (4, 150, 4), (4, 30, 4), (1, 1, 2)] {
        let mut machine = Machine::new(cpus, 3);
        let share = Share {
            weight: 100,
            cap: Some(cap),
        };
        machine.vm(share, u64::MAX, &vec![Load::Spins; vcpus]);
        let ran = machine.run_for(10 * SECOND)[0];
        let ideal = 10 * SECOND * u64::from(cap) / 100;
        let late = 20 * US * 100 * cpus as u64;
        assert!(ran <= ideal + late, "{ran} of {ideal}");
        assert!(ran * 100 >= ideal * 90, "{ran} of {ideal}");
    }
}

#[test]
fn what_a_capped_vm_does_not_get_goes_to_the_others() {
    let mut machine = Machine::new(1, 3);
    let share = Share {
        weight: 100,
        cap: Some(20),
    };
    machine.vm(share, u64::MAX, &[Load::Spins]);
    machine.spinners(100, 1);
    let ran = machine.run_for(10 * SECOND);
    assert!((1_900 * MS..2_050 * MS).contains(&ran[0]), "{ran:?}");
    assert!(ran[0] + ran[1] > 9_990 * MS);
}

#[test]
fn who_is_alone_on_a_host_hart_is_left_alone() {
    let mut machine = Machine::new(2, 3);
    machine.spinners(100, 2);
    machine.run_for(60 * SECOND);
    assert!(machine.picks <= 6, "{}", machine.picks);
}

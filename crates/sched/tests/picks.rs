//! Single decisions.

use sched::{Pick, Scheduler, Share, State, VmState};

const MS: u64 = 1000;

/// `cpus` host harts, and a VM with one vCPU for each weight.
fn scheduler(cpus: usize, weights: &[u32]) -> Scheduler {
    let mut scheduler = Scheduler::new(cpus, 1000 * MS);
    for &weight in weights {
        let vm = scheduler.add_vm(Share { weight, cap: None });
        scheduler.add_vcpu(vm, u64::MAX);
    }
    scheduler
}

fn run(vcpu: usize, until: Option<u64>) -> Pick {
    let interrupt = None;
    Pick::Run {
        vcpu,
        until,
        interrupt,
    }
}

#[test]
fn a_pick_in_the_middle_neither_ends_nor_lengthens_a_slice() {
    let mut scheduler = scheduler(1, &[100, 100]);
    scheduler.wake(0, 0);
    scheduler.wake(1, 0);
    for now in [0, 300, 900] {
        assert_eq!(scheduler.pick(0, now), run(0, Some(10 * MS)));
    }
    assert_eq!(scheduler.pick(0, 10 * MS), run(1, Some(20 * MS)));
}

#[test]
fn a_vcpu_wakes_on_the_host_hart_that_it_ran_on() {
    let mut scheduler = scheduler(3, &[100]);
    assert_eq!(scheduler.wake(0, 0), Some(0));
    scheduler.pick(2, 0);
    scheduler.block(2, 1);
    assert_eq!(scheduler.vcpu_account(0, 1).last_cpu, Some(2));
    assert_eq!(scheduler.wake(0, 2), Some(2));
}

#[test]
fn waking_what_is_ready_or_runs_does_nothing() {
    let mut scheduler = scheduler(1, &[100]);
    assert_eq!(scheduler.wake(0, 0), Some(0));
    assert_eq!(scheduler.wake(0, 0), None);
    scheduler.pick(0, 0);
    assert_eq!(scheduler.wake(0, 5), None);
    scheduler.block(0, 6);
    assert_eq!(scheduler.vcpu_account(0, 6).state, State::Blocked);
}

#[test]
fn two_vcpus_that_wake_together_are_offered_two_idle_host_harts() {
    let mut scheduler = scheduler(2, &[100, 100]);
    assert_eq!(scheduler.wake(0, 0), Some(0));
    assert_eq!(scheduler.wake(1, 0), Some(1));
}

#[test]
fn a_host_hart_that_runs_without_end_is_told_when_somebody_waits() {
    let mut scheduler = scheduler(1, &[100, 100]);
    scheduler.wake(0, 0);
    assert_eq!(scheduler.pick(0, 0), run(0, None));
    assert_eq!(scheduler.wake(1, 5), Some(0));
    // It was told, and has not picked since.
    let vm = scheduler.add_vm(Share::default());
    let third = scheduler.add_vcpu(vm, 1);
    assert_eq!(scheduler.wake(third, 6), None);
}

/// How long a vCPU, and no other, runs from `start` on.
fn has_to_itself(scheduler: &mut Scheduler, it: usize, start: u64) -> u64 {
    let mut now = start;
    while let Pick::Run { vcpu, until, .. } = scheduler.pick(0, now)
        && vcpu == it
    {
        now = until.unwrap();
    }
    now - start
}

/// How long a VM that kept the host hart from `from` to 1000 ms is kept from it by one that wants it.
fn repaid(scheduler: &mut Scheduler, from: u64) -> u64 {
    assert!(matches!(scheduler.pick(0, from), Pick::Run { vcpu: 0, .. }));
    scheduler.wake(1, from + 5 * MS);
    has_to_itself(scheduler, 1, 1000 * MS)
}

#[test]
fn a_vm_that_keeps_a_host_hart_beyond_its_slice_gives_the_time_back() {
    let mut others = scheduler(1, &[100, 100]);
    others.wake(0, 0);
    let back = repaid(&mut others, 0);
    assert!((990 * MS..=1010 * MS).contains(&back), "{back}");
}

#[test]
fn a_vm_that_blocks_after_it_kept_a_host_hart_gives_the_time_back() {
    let mut others = scheduler(1, &[100, 100]);
    others.wake(0, 0);
    others.pick(0, 0);
    others.wake(1, 5 * MS);
    others.block(0, 1000 * MS);
    others.wake(0, 1000 * MS);
    let back = has_to_itself(&mut others, 1, 1000 * MS);
    assert!((990 * MS..=1010 * MS).contains(&back), "{back}");
}

#[test]
fn a_vm_owes_nothing_for_interrupts_that_come_late() {
    let mut others = scheduler(1, &[100, 100, 100]);
    others.wake(0, 0);
    others.wake(1, 0);
    let mut now = 0;
    for _ in 0..1000 {
        let Pick::Run { until, .. } = others.pick(0, now) else {
            panic!("nobody runs");
        };
        now = until.unwrap() + MS;
    }
    // Who wakes is served as if they had been in time.
    others.wake(2, now);
    let alone = has_to_itself(&mut others, 2, now);
    assert!(alone <= 40 * MS, "{alone}");
}

#[test]
fn what_a_host_hart_does_for_others_is_nobody_s_overrun() {
    let mut others = scheduler(1, &[100, 100]);
    others.wake(0, 0);
    others.pick(0, 0);
    others.wake(1, 5 * MS);
    others.excuse(0, 1000 * MS);
    let back = has_to_itself(&mut others, 1, 1000 * MS);
    assert!(back <= 30 * MS, "{back}");
}

#[test]
fn what_a_vm_had_while_nobody_else_wanted_anything_is_not_given_back() {
    let mut others = scheduler(1, &[100, 100]);
    others.wake(0, 0);
    let back = repaid(&mut others, 990 * MS);
    assert!(back <= 30 * MS, "{back}");
}

#[test]
fn who_waited_too_long_keeps_its_slice_whoever_wakes() {
    let mut scheduler = scheduler(1, &[10_000, 1, 10_000]);
    scheduler.wake(0, 0);
    scheduler.pick(0, 0);
    scheduler.wake(1, 1);
    assert_eq!(scheduler.pick(0, 1), run(1, Some(10 * MS + 1)));
    scheduler.pick(0, 10 * MS);
    assert_eq!(scheduler.running(0), Some(0));
    scheduler.pick(0, 1020 * MS);
    assert_eq!(scheduler.running(0), Some(1));
    assert_eq!(scheduler.wake(2, 1022 * MS), None);
    assert_eq!(scheduler.pick(0, 1023 * MS), run(1, Some(1030 * MS)));
    scheduler.pick(0, 1030 * MS);
    assert_ne!(scheduler.running(0), Some(1));
}

#[test]
fn a_stopped_vm_leaves_its_host_hart_at_the_pick_and_cannot_be_woken() {
    let mut scheduler = scheduler(2, &[100]);
    scheduler.wake(0, 0);
    scheduler.pick(1, 0);
    assert_eq!(scheduler.stop(0, 5), 0b10);
    assert_eq!(scheduler.vm_account(0, 7).cpus, 0b10);
    assert_eq!(scheduler.pick(1, 8), Pick::Idle { until: None });
    let account = scheduler.vm_account(0, 9);
    assert_eq!(
        (account.cpus, account.ran, account.state),
        (0, 8, VmState::Stopped)
    );
    assert_eq!(scheduler.wake(0, 9), None);
    assert_eq!(scheduler.pause(0), 0);
    assert_eq!(scheduler.vm_account(0, 9).state, VmState::Stopped);
    assert_eq!(scheduler.resume(0, 9), 0);
    assert_eq!(scheduler.wake(0, 9), Some(1));
}

#[test]
fn a_pause_is_stolen_from_who_was_ready_and_from_nobody_else() {
    let mut scheduler = pair();
    let stolen = |scheduler: &mut Scheduler, vcpu, now| scheduler.vcpu_account(vcpu, now).stolen;
    let now = 1000 * MS;
    scheduler.pause(0);
    scheduler.pick(0, now);
    assert_eq!(stolen(&mut scheduler, 0, now + 60), 60);
    scheduler.resume(0, now + 100);
    scheduler.pick(0, now + 110);
    assert_eq!(stolen(&mut scheduler, 0, now + 200), 110);
    assert_eq!(stolen(&mut scheduler, 1, now + 200), 0);
}

#[test]
fn time_that_goes_back_a_little_stands_still() {
    let mut scheduler = scheduler(2, &[100]);
    scheduler.wake(0, 1000);
    scheduler.pick(0, 1010);
    scheduler.pick(1, 990);
    assert_eq!(scheduler.vcpu_account(0, 1020).ran, 10);
}

/// Two host harts, and a VM of two vCPUs, of which the first runs on the first host hart.
fn pair() -> Scheduler {
    let mut scheduler = Scheduler::new(2, 1000 * MS);
    let vm = scheduler.add_vm(Share::default());
    for _ in 0..2 {
        scheduler.add_vcpu(vm, u64::MAX);
    }
    assert_eq!(scheduler.wake(0, 0), Some(0));
    scheduler.pick(0, 0);
    scheduler
}

#[test]
fn who_wakes_another_keeps_its_host_hart_when_one_idles() {
    let mut scheduler = pair();
    assert_eq!(scheduler.wake(1, 5), Some(1));
    assert!(!scheduler.yield_to(0, 1, 5));
    assert_eq!(scheduler.pick(1, 6), run(1, None));
}

#[test]
fn who_wakes_another_yields_to_it_when_no_host_hart_is_left_for_it() {
    let mut scheduler = pair();
    let other = scheduler.add_vm(Share::default());
    scheduler.add_vcpu(other, u64::MAX);
    // The idle host hart goes to one of two that are ready.
    assert_eq!(scheduler.wake(2, 5), Some(1));
    scheduler.wake(1, 5);
    assert!(scheduler.yield_to(0, 1, 5));
}

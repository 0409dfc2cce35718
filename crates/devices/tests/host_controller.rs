//! The host's interrupt controller is driven, against models of what its specification says: the PLIC that
//! guests have, and an APLIC with an interrupt file (RISC-V Advanced Interrupt Architecture 1.0).

use devices::host_controller::{Controller, InterruptFile, Refusal, Registers};
use devices::host_tree::{
    ControllerKind, HostController, HostInterrupt, HostRange, Target, Trigger,
};
use devices::plic::Plic;
use isa::address::HostPhys;
use std::cell::RefCell;
use std::collections::BTreeSet;

const HART: u64 = 7;
const INDEX: u32 = 3;

fn described(kind: ControllerKind) -> HostController {
    HostController {
        kind,
        registers: HostRange {
            base: HostPhys(0),
            size: 0x8000,
        },
        sources: 96,
        targets: vec![Target {
            hart: HART,
            index: INDEX,
        }],
    }
}

fn interrupt(source: u32, trigger: Trigger) -> HostInterrupt {
    HostInterrupt { source, trigger }
}

/// An APLIC's domain with one interrupt file, as far as the driver goes.
#[derive(Default)]
struct Aplic {
    messages: bool,
    has_file: bool,
    stuck: Option<u32>,
    configuration: u32,
    mode: Vec<u32>,
    target: Vec<u32>,
    enabled: BTreeSet<u32>,
    pending: BTreeSet<u32>,
    wires: BTreeSet<u32>,
    delivers: u32,
    /// Of the file: what is let through, and what has arrived.
    highest: u32,
    arrived: BTreeSet<u32>,
}

impl Aplic {
    fn is_level(&self, source: u32) -> bool {
        matches!(self.mode[source as usize], 6 | 7)
    }

    fn input(&self, source: u32) -> bool {
        match self.mode[source as usize] {
            4 | 6 => self.wires.contains(&source),
            5 | 7 => !self.wires.contains(&source),
            _ => false,
        }
    }

    fn set_wire(&mut self, source: u32, up: bool) {
        let before = self.input(source);
        if up {
            self.wires.insert(source);
        } else {
            self.wires.remove(&source);
        }
        let after = self.input(source);
        if after && !before {
            self.pending.insert(source);
        }
        if !after && self.is_level(source) {
            self.pending.remove(&source);
        }
        self.forward();
    }

    /// Sends a message for each that is pending and enabled, which is not pending then.
    fn forward(&mut self) {
        if self.configuration & 0x104 != 0x104 {
            return;
        }
        for source in self.pending.clone().intersection(&self.enabled) {
            self.pending.remove(source);
            let target = self.target[*source as usize];
            assert_eq!(target >> 18, INDEX);
            self.arrived.insert(target & 0x7ff);
        }
    }

    fn is_interrupting(&self) -> bool {
        if self.messages {
            self.arrived.iter().any(|&one| one <= self.highest)
        } else {
            self.configuration & 0x100 != 0 && self.delivers == 1 && self.top().is_some()
        }
    }

    fn top(&self) -> Option<u32> {
        self.pending.intersection(&self.enabled).next().copied()
    }
}

/// One at reset.
fn idle() -> Aplic {
    Aplic {
        mode: vec![0; 97],
        target: vec![0; 97],
        ..Aplic::default()
    }
}

struct Wired<'a>(&'a RefCell<Aplic>);

impl Registers for Wired<'_> {
    fn read(&self, offset: u64) -> u32 {
        let mut aplic = self.0.borrow_mut();
        let delivery = 0x4000 + 0x20 * u64::from(INDEX);
        match offset {
            0 => aplic.stuck.unwrap_or(1 << 31 | aplic.configuration),
            0x4..0x1000 => aplic.mode.get(offset as usize / 4).copied().unwrap_or(0),
            _ if offset == delivery => aplic.delivers,
            _ if offset == delivery + 0x1c => {
                let Some(source) = aplic.top() else { return 0 };
                assert_eq!(aplic.target[source as usize], INDEX << 18 | 1);
                if !aplic.is_level(source) {
                    aplic.pending.remove(&source);
                }
                source << 16 | 1
            }
            _ => panic!("read of {offset:#x}"),
        }
    }

    fn write(&self, offset: u64, value: u32) {
        let mut aplic = self.0.borrow_mut();
        let delivery = 0x4000 + 0x20 * u64::from(INDEX);
        let place = offset as usize % 0x1000 / 4;
        match offset {
            0 if aplic.messages => aplic.configuration = value & 0x104,
            0 => aplic.configuration = value & 0x100,
            // The second half of the sources is another domain's.
            0x4..0x1000 if place < 48 => aplic.mode[place] = value,
            0x4..0x1000 => {}
            // Set pending by number: of a level, only while it is up, and never in direct mode.
            0x1cdc if aplic.is_level(value) => {
                if aplic.messages && aplic.input(value) {
                    aplic.pending.insert(value);
                }
            }
            0x1cdc => {
                aplic.pending.insert(value);
            }
            0x1edc => {
                aplic.enabled.insert(value);
            }
            0x1f00..0x1f80 => aplic
                .enabled
                .retain(|source| source / 32 != place as u32 % 32),
            0x3004..0x4000 => aplic.target[place] = value,
            _ if offset == delivery => aplic.delivers = value,
            _ if offset == delivery + 4 || offset == delivery + 8 => assert_eq!(value, 0),
            _ => panic!("write of {offset:#x}"),
        }
        if !aplic.messages {
            // Pending of a level is a copy of the wire.
            let levels: Vec<u32> = (1..97).filter(|&source| aplic.is_level(source)).collect();
            for source in levels {
                if aplic.input(source) {
                    aplic.pending.insert(source);
                }
            }
        }
        aplic.forward();
    }
}

impl InterruptFile for Wired<'_> {
    fn open(&self, highest: u32) -> bool {
        let mut aplic = self.0.borrow_mut();
        aplic.highest = highest;
        aplic.has_file
    }

    fn claim(&self) -> u32 {
        let mut aplic = self.0.borrow_mut();
        let Some(first) = aplic.arrived.pop_first() else {
            return 0;
        };
        first << 16 | first
    }
}

fn aplic(messages: bool) -> RefCell<Aplic> {
    RefCell::new(Aplic {
        messages,
        has_file: true,
        // What firmware may have left.
        enabled: [9].into(),
        ..idle()
    })
}

fn kind(messages: bool) -> ControllerKind {
    if messages {
        ControllerKind::AplicMsi { identities: 63 }
    } else {
        ControllerKind::Aplic
    }
}

fn driver<'a>(
    model: &'a RefCell<Aplic>,
    hart: u64,
) -> Result<Controller<Wired<'a>, Wired<'a>>, Refusal> {
    let kind = kind(model.borrow().messages);
    Controller::new(&described(kind), hart, Wired(model), Wired(model))
}

#[test]
fn a_level_that_stays_up_interrupts_again_and_one_that_falls_does_not() {
    for messages in [false, true] {
        let model = aplic(messages);
        let mut controller = driver(&model, HART).expect("a controller");
        for source in [40, 10] {
            assert!(controller.enable(interrupt(source, Trigger::High)));
        }
        for (source, rounds) in [(40, 3), (10, 1), (40, 2)] {
            model.borrow_mut().set_wire(source, true);
            for round in 1..=rounds {
                assert!(model.borrow().is_interrupting(), "{messages} {round}");
                assert_eq!(controller.claim(), Some(source));
                if round == rounds {
                    model.borrow_mut().set_wire(source, false);
                }
                controller.complete(source);
            }
            assert!(!model.borrow().is_interrupting());
            assert_eq!(controller.claim(), None);
        }
    }
}

#[test]
fn what_was_up_before_it_was_enabled_interrupts() {
    for messages in [false, true] {
        for (trigger, up) in [(Trigger::High, true), (Trigger::Low, false)] {
            let model = aplic(messages);
            model.borrow_mut().set_wire(10, up);
            let mut controller = driver(&model, HART).expect("a controller");
            assert!(controller.enable(interrupt(10, trigger)));
            assert_eq!(controller.claim(), Some(10), "{messages} {trigger:?}");
        }
    }
}

/// Nothing may set an edge pending that never came: it would interrupt for ever.
#[test]
fn an_edge_interrupts_once() {
    for messages in [false, true] {
        for (trigger, rest) in [(Trigger::RisingEdge, false), (Trigger::FallingEdge, true)] {
            let model = aplic(messages);
            model.borrow_mut().set_wire(10, rest);
            let mut controller = driver(&model, HART).expect("a controller");
            assert!(controller.enable(interrupt(10, trigger)));
            assert_eq!(controller.claim(), None);
            model.borrow_mut().set_wire(10, !rest);
            assert_eq!(controller.claim(), Some(10));
            controller.complete(10);
            assert!(!model.borrow().is_interrupting(), "{messages} {trigger:?}");
            assert_eq!(controller.claim(), None);
        }
    }
}

#[test]
fn only_what_is_enabled_and_there_interrupts() {
    for messages in [false, true] {
        let model = aplic(messages);
        let mut controller = driver(&model, HART).expect("a controller");
        // None, delegated to another domain, beyond the last.
        for source in [0, 50, 97] {
            assert!(!controller.enable(interrupt(source, Trigger::High)));
        }
        assert!(controller.enable(interrupt(10, Trigger::High)));
        // Twice is once.
        assert!(controller.enable(interrupt(10, Trigger::High)));
        model.borrow_mut().mode[9] = 6;
        model.borrow_mut().set_wire(9, true);
        assert!(!model.borrow().is_interrupting());
        assert_eq!(controller.claim(), None);
    }
}

#[test]
fn what_a_controller_does_not_do_is_told() {
    let error = |model: Aplic, hart| {
        let model = RefCell::new(model);
        driver(&model, hart).err().map(|error| error.to_string())
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(error(idle(), 1), text("it does not interrupt hart 1"));
    let no_file = Aplic {
        messages: true,
        ..idle()
    };
    assert_eq!(
        error(no_file, HART),
        text("S-mode cannot use the hart's IMSIC")
    );
    // Big-endian, and a delivery mode that is not there.
    for (messages, stuck) in [(false, 0x81), (true, 1 << 31)] {
        let model = Aplic {
            messages,
            stuck: Some(stuck),
            ..idle()
        };
        let error = error(model, HART).expect("an error");
        assert!(error.starts_with("its domaincfg reads 0x8"), "{error}");
    }
}

#[test]
fn an_interrupt_file_takes_no_more_than_it_has_room_for() {
    let model = aplic(true);
    let mut controller = driver(&model, HART).expect("a controller");
    // The model has 47 sources; each takes one identity.
    for source in 1..48 {
        assert!(controller.enable(interrupt(source, Trigger::High)));
    }
    for source in (1..48).rev() {
        model.borrow_mut().set_wire(source, true);
        assert_eq!(controller.claim(), Some(source));
        model.borrow_mut().set_wire(source, false);
        controller.complete(source);
    }
}

struct NoFile;

impl InterruptFile for NoFile {
    fn open(&self, _: u32) -> bool {
        false
    }

    fn claim(&self) -> u32 {
        0
    }
}

struct PlicRegisters<'a>(&'a RefCell<Plic>);

impl Registers for PlicRegisters<'_> {
    fn read(&self, offset: u64) -> u32 {
        self.0.borrow_mut().read(offset)
    }

    fn write(&self, offset: u64, value: u32) {
        self.0.borrow_mut().write(offset, value);
    }
}

/// The PLIC that guests have.
#[test]
fn a_plic_is_claimed_and_completed() {
    let model = RefCell::new(Plic::new(2));
    let described = described(ControllerKind::Plic);
    let registers = PlicRegisters(&model);
    let mut controller =
        Controller::new(&described, HART, registers, NoFile).expect("a controller");
    assert!(controller.enable(interrupt(10, Trigger::High)));
    assert!(!controller.enable(interrupt(97, Trigger::High)));
    model.borrow_mut().raise(9);
    assert_eq!(controller.claim(), None);
    let pending = || model.borrow().context_pending(INDEX as usize);
    for _ in 0..2 {
        model.borrow_mut().raise(10);
        assert!(pending());
        assert_eq!(controller.claim(), Some(10));
        assert!(!pending());
        controller.complete(10);
        assert!(!pending());
    }
}

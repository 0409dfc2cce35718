//! What each kind of privileged instruction costs, in instructions of the monitor.
//!
//! `cargo test -p patch --test differential costs -- --nocapture` prints the table, and the same as
//! one line of JSON.

use isa::csr::{self, interrupt, sstatus};
use patch::block::ContextEntry;
use patch::template::{GATE_INSTRUCTIONS, KIND_NAMES};
use patch::{Kind, Maker};
use vcpu::Hart;

use crate::check::{End, check};
use crate::state::{HOSTS, Random, State, Variant};
use crate::words::Word;

const A0: u32 = 10;
const TP: u32 = 4;
const T1: u32 = 6;

/// One line of the table: an instruction in a situation.
struct Row {
    name: &'static str,
    word: Word,
    prepare: fn(&mut State),
    end: End,
    /// Instructions of the routine that are executed.
    cost: u64,
}

const fn no_change(_: &mut State) {}

fn returns(name: &'static str, word: Word, prepare: fn(&mut State), cost: u64) -> Row {
    Row {
        name,
        word,
        prepare,
        end: End::Returns,
        cost,
    }
}

fn emulates(name: &'static str, word: Word, prepare: fn(&mut State), cost: u64) -> Row {
    Row {
        name,
        word,
        prepare,
        end: End::Emulate,
        cost,
    }
}

/// What kernels execute most, and one line at least for each kind.
fn rows() -> Vec<Row> {
    let csr = Word::csr;
    vec![
        returns(
            "csrr a0, sstatus",
            csr(csr::SSTATUS, 2, A0, 0),
            no_change,
            7,
        ),
        returns("csrci sstatus, 2", csr(csr::SSTATUS, 7, 0, 2), no_change, 8),
        returns(
            "csrrci a0, sstatus, 2",
            csr(csr::SSTATUS, 7, A0, 2),
            no_change,
            9,
        ),
        returns(
            "csrsi sstatus, 2",
            csr(csr::SSTATUS, 6, 0, 2),
            no_change,
            10,
        ),
        returns(
            "csrsi sstatus, 2: pending but not enabled",
            csr(csr::SSTATUS, 6, 0, 1),
            pending,
            12,
        ),
        returns(
            "csrs sstatus, a0: SUM",
            csr(csr::SSTATUS, 2, 0, A0),
            sum,
            18,
        ),
        returns(
            "csrc sstatus, a0: SUM",
            csr(csr::SSTATUS, 3, 0, A0),
            sum,
            17,
        ),
        returns(
            "csrw sstatus, a0: FS to Off",
            csr(csr::SSTATUS, 1, 0, A0),
            units_off,
            23,
        ),
        returns(
            "csrs sstatus, a0: FS from Off",
            csr(csr::SSTATUS, 2, 0, A0),
            units_on,
            35,
        ),
        returns("csrr a0, sie", csr(csr::SIE, 2, A0, 0), no_change, 7),
        returns("csrs sie, a0", csr(csr::SIE, 2, 0, A0), no_change, 14),
        returns("csrc sie, a0", csr(csr::SIE, 3, 0, A0), no_change, 13),
        returns("csrr a0, sip", csr(csr::SIP, 2, A0, 0), no_change, 7),
        returns("csrc sip, a0", csr(csr::SIP, 3, 0, A0), no_change, 15),
        returns("csrw stvec, a0", csr(csr::STVEC, 1, 0, A0), aligned, 10),
        returns(
            "csrw sscratch, zero",
            csr(csr::SSCRATCH, 1, 0, 0),
            no_change,
            8,
        ),
        returns(
            "csrrw tp, sscratch, tp",
            csr(csr::SSCRATCH, 1, TP, TP),
            no_change,
            9,
        ),
        returns(
            "csrrw t1, sscratch, t1",
            csr(csr::SSCRATCH, 1, T1, T1),
            no_change,
            9,
        ),
        returns("csrr a0, sepc", csr(csr::SEPC, 2, A0, 0), no_change, 7),
        returns("csrw sepc, a0", csr(csr::SEPC, 1, 0, A0), no_change, 9),
        returns("csrr a0, scause", csr(csr::SCAUSE, 2, A0, 0), no_change, 7),
        returns("csrr a0, stval", csr(csr::STVAL, 2, A0, 0), no_change, 7),
        returns("csrr a0, satp", csr(csr::SATP, 2, A0, 0), no_change, 7),
        returns(
            "csrw satp, a0: a known context",
            csr(csr::SATP, 1, 0, A0),
            known,
            26,
        ),
        emulates(
            "csrw satp, a0: another context",
            csr(csr::SATP, 1, 0, A0),
            no_change,
            11,
        ),
        returns(
            "csrw scounteren, a0",
            csr(csr::SCOUNTEREN, 1, 0, A0),
            no_change,
            13,
        ),
        returns(
            "csrw senvcfg, a0",
            csr(csr::SENVCFG, 1, 0, A0),
            no_change,
            14,
        ),
        returns("rdtime a0", csr(csr::TIME, 2, A0, 0), no_change, 7),
        returns("sret to VU", Word::sret(), to_user, 23),
        returns("sret to VS", Word::sret(), to_supervisor, 20),
        returns("wfi with an interrupt pending", Word::wfi(), pending, 10),
        emulates("wfi with none", Word::wfi(), no_change, 6),
        emulates("sfence.vma", Word::sfence_vma(0, 0), no_change, 4),
        // The gate goes on from here, with code that all such fences share.
        Row {
            end: End::Fence,
            ..emulates("sfence.vma a0", Word::sfence_vma(A0, 0), no_change, 5)
        },
    ]
}

fn pending(state: &mut State) {
    state.hart.sie = interrupt::STI;
    state.hart.sip = interrupt::STI;
}

fn sum(state: &mut State) {
    state.hart.x[A0 as usize] = sstatus::SUM;
}

fn units_off(state: &mut State) {
    state.hart.x[A0 as usize] = 0;
}

fn units_on(state: &mut State) {
    state.hart.sstatus &= !(sstatus::FS | sstatus::VS | sstatus::SD);
    state.hart.x[A0 as usize] = sstatus::FS;
}

fn aligned(state: &mut State) {
    state.hart.x[A0 as usize] = 0x8020_0004;
}

fn known(state: &mut State) {
    let guest = 8 << 60 | 33;
    state.contexts[33] = ContextEntry {
        guest,
        vs: 8 << 60 | 1,
        vu: 8 << 60 | 2,
        root: 0x3000,
    };
    state.hart.x[A0 as usize] = guest;
}

fn to_user(state: &mut State) {
    state.hart.sstatus &= !sstatus::SPP;
}

fn to_supervisor(state: &mut State) {
    state.hart.sstatus |= sstatus::SPP;
}

/// A state with no interrupt pending and none enabled, but that of nothing else is known.
fn quiet() -> State {
    let mut state = State::new(&mut Random(1), &HOSTS[0].1);
    state.contexts.fill(ContextEntry::EMPTY);
    state.unseen_fences = false;
    state.virtual_counters = false;
    state.passed_over = false;
    let sstatus = sstatus::UXL_64 | sstatus::SD | sstatus::FS | sstatus::VS;
    state.hart = Hart {
        sie: 0,
        sip: 0,
        sstatus,
        ..state.hart
    };
    state.hart.x[A0 as usize] = 0;
    state
}

fn variant(count: bool) -> Variant {
    let (host, features) = HOSTS[0];
    Variant {
        host,
        maker: Maker {
            features,
            counters: 7,
            count,
            fence_on_switch: false,
        },
    }
}

fn cost(row: &Row, variant: &Variant) -> u64 {
    let mut state = quiet();
    (row.prepare)(&mut state);
    let code = variant.maker.make(&row.word.instruction, row.word.word);
    let code = code.unwrap_or_else(|| panic!("{} has no template", row.name));
    match check(variant, row.word.word, &row.word.instruction, &code, &state) {
        Ok(outcome) => {
            assert_eq!(outcome.end, row.end, "{}", row.name);
            outcome.executed
        }
        Err(error) => panic!("{}: {error}", row.name),
    }
}

/// Instructions of the gate from its entry to the jump into a routine, the site being cached: the
/// branches on that way are not taken.
fn gate_hit_path() -> u64 {
    // Where it is run, not where it was compiled: a checkout may have been copied or renamed since.
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("run by cargo");
    let path = format!("{package}/../../monitor/src/gate.S");
    let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut lines = source
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").trim());
    assert!(
        lines.any(|line| line == "gate_vs:"),
        "the gate has no entry gate_vs"
    );
    let mut count = 0;
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('.')) {
        assert!(!line.ends_with(':'), "{line} stands on the hit path");
        count += 1;
        if line == "jr t2" {
            return count;
        }
    }
    panic!("the gate's hit path does not end in jr t2");
}

#[test]
fn an_emulated_csrci_sstatus_takes_22_instructions_at_most() {
    let csrci = rows()
        .into_iter()
        .find(|row| row.name == "csrci sstatus, 2")
        .expect("a row");
    assert!(gate_hit_path() + cost(&csrci, &variant(false)) <= 22);
}

#[test]
fn every_routine_costs_what_the_table_says() {
    let gate = gate_hit_path();
    let mut json = Vec::new();
    let mut changed = Vec::new();
    println!("{:45} {:>8} {:>8}", "instruction", "routine", "with gate");
    for row in rows() {
        let cost = cost(&row, &variant(false));
        let kind = KIND_NAMES[Kind::of(&row.word.instruction) as usize];
        let total = gate + cost;
        println!("{:45} {cost:8} {total:8}", row.name);
        let Row { name, end, .. } = row;
        json.push(format!(
            "{{\"name\":\"{name}\",\"kind\":\"{kind}\",\"end\":\"{end:?}\",\
             \"gate\":{gate},\"routine\":{cost},\"total\":{total}}}"
        ));
        if cost != row.cost {
            changed.push((row.name, cost, row.cost));
        }
    }
    println!("{{\"rows\":[{}]}}", json.join(","));
    assert!(changed.is_empty(), "(name, now, before): {changed:?}");
}

/// The kinds whose routine does all there is to do; for `sfence.vma` the gate goes on.
#[test]
fn the_published_counts_are_those_of_the_commonest_forms() {
    let gate = gate_hit_path();
    let commonest = [
        (Kind::Sstatus, "csrci sstatus, 2"),
        (Kind::Sie, "csrs sie, a0"),
        (Kind::Sip, "csrr a0, sip"),
        (Kind::Stvec, "csrw stvec, a0"),
        (Kind::Sscratch, "csrrw tp, sscratch, tp"),
        (Kind::Sepc, "csrr a0, sepc"),
        (Kind::Scause, "csrr a0, scause"),
        (Kind::Stval, "csrr a0, stval"),
        (Kind::Satp, "csrw satp, a0: a known context"),
        (Kind::Scounteren, "csrw scounteren, a0"),
        (Kind::Senvcfg, "csrw senvcfg, a0"),
        (Kind::Counter, "rdtime a0"),
        (Kind::Sret, "sret to VU"),
        (Kind::Wfi, "wfi with an interrupt pending"),
    ];
    for (kind, name) in commonest {
        let row = rows().into_iter().find(|row| row.name == name).expect(name);
        let total = gate + cost(&row, &variant(false));
        assert_eq!(u64::from(GATE_INSTRUCTIONS[kind as usize]), total, "{name}");
    }
}

#[test]
fn counting_costs_three_instructions() {
    for row in rows() {
        let [plain, counted] = [false, true].map(|count| cost(&row, &variant(count)));
        assert_eq!(counted, plain + 3, "{}", row.name);
    }
}

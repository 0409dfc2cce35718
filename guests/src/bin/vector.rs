//! Vectors, where the processor has them: VS Off and on, registers kept over traps; all illegal
//! where it has none.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, csr, println};

    const INITIAL: u64 = 1 << 9;

    fn main() {
        let length = code!(
            "vsetivli a0, 4, e64, m1, ta, ma",
            "csrr a1, vl",
            "csrr a2, vtype"
        );
        let mut context = length.supervisor().status(csr::VS);
        let present = context.run().cause == 3;
        println!("vectors: {present}");
        csr::write!("sstatus", csr::VS);
        println!("VS sticks: {}", csr::Status(csr::read!("sstatus")));
        csr::write!("sstatus", 0u64);
        let sum = code!(
            "vsetivli a0, 2, e64, m1, ta, ma",
            "vid.v v1",
            "vadd.vx v2, v1, a3",
            "vmv.x.s a4, v2",
            "vredsum.vs v3, v2, v2",
            "vmv.x.s a5, v3"
        );
        for vs in [0, INITIAL, 2 * INITIAL, 3 * INITIAL] {
            for (mode, status) in [("S", csr::SPP), ("U", 0)] {
                let mut context = sum.supervisor().with(13, 40);
                context.sstatus = status | vs;
                let trap = context.run();
                println!(
                    "VS {} in {mode}: {trap} {} {} {}",
                    vs >> 9,
                    context.x[10],
                    context.x[14],
                    context.x[15]
                );
            }
        }
        for (name, snippet) in [
            ("vl", code!("csrr a0, vl")),
            ("vtype", code!("csrr a0, vtype")),
            ("vstart", code!("csrr a0, vstart")),
            ("vcsr", code!("csrr a0, vcsr")),
            (
                "vxrm",
                code!("csrwi vxrm, 3", "csrr a0, vcsr", "csrwi vxrm, 0"),
            ),
        ] {
            for vs in [0, csr::VS] {
                let mut context = snippet.supervisor().status(vs);
                let trap = context.run();
                println!("{name} with VS {}: {trap} {:#x}", vs >> 9, context.x[10]);
            }
        }
        let keep = code!(
            "vsetivli a0, 2, e64, m1, ta, ma",
            "vmv.v.x v8, a3",
            "1: ecall",
            "vadd.vi v8, v8, 1",
            "vmv.x.s a4, v8",
            "j 1b"
        );
        let mut context = keep.user().status(csr::VS).with(13, 1000);
        for round in 0..300 {
            let trap = context.run();
            if trap.cause != 8 {
                println!("round {round}: {trap}");
                break;
            }
            code!("nop").supervisor().run();
            context.pc += 4;
        }
        println!("kept: {}", context.x[14]);
    }

    guests::program!(main);
}

//! The counters: time never goes back, in S and U; scounteren decides what U may read; instret and
//! cycle move.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, csrr, write_words};
    use guests::context::Context;
    use guests::{code, csr, memory, println};

    fn main() {
        let page = memory::page();
        for bits in 0..8u64 {
            csr::write!("scounteren", bits);
            for (index, name) in ["cycle", "time", "instret"].into_iter().enumerate() {
                write_words(page, &[csrr(10, 0xc00 + index as u32), EBREAK]);
                for _ in 0..2 {
                    println!(
                        "scounteren {bits}: {name} from U: {}",
                        Context::user(page).run()
                    );
                }
                println!(
                    "scounteren {bits}: {name} from S: {}",
                    Context::supervisor(page).run().name()
                );
            }
        }
        csr::write!("scounteren", 7u64);
        let climb = code!(
            "rdtime t0",
            "li a1, 2000",
            "1: rdtime t1",
            "bltu t1, t0, 2f",
            "mv t0, t1",
            "addi a1, a1, -1",
            "bnez a1, 1b",
            "2:"
        );
        for (name, mut context) in [("S", climb.supervisor()), ("U", climb.user())] {
            println!("time in {name}: {} left {}", context.run(), context.x[11]);
        }
        let moves = code!(
            "rdinstret t0",
            "rdcycle t1",
            "li a1, 100000",
            "1: addi a1, a1, -1",
            "bnez a1, 1b",
            "rdinstret t2",
            "rdcycle t3",
            "sltu a2, t0, t2",
            "sltu a3, t1, t3"
        );
        for (name, mut context) in [("S", moves.supervisor()), ("U", moves.user())] {
            let trap = context.run();
            println!(
                "{name}: {trap} instret moves {} cycle moves {}",
                context.x[12], context.x[13]
            );
        }
        let (mut last, mut back) = (0, 0);
        for _ in 0..300 {
            let mut context = code!("rdtime a0", "ecall").user();
            context.run();
            let now = csr::read!("time");
            back += (context.x[10] < last || now < context.x[10]) as u32;
            last = now;
        }
        println!("time went back between U and S: {back}");
    }

    guests::program!(main);
}

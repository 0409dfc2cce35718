//! Chapter "Legacy Extensions".

use crate::chapter::{ALL, call, print};
use guests::{code, csr, memory, println, start};

/// Each function is an extension, which returns in a0 alone.
pub fn statements() {
    let hart = start::hart();
    let name = "Legacy";
    let mask = memory::page();
    memory::write(mask, 1u64 << hart);
    for (section, extension, arguments) in [
        ("Set Timer", 0, [ALL, 0, 0, 0]),
        ("Console Putchar", 1, [b'\n'.into(), 0, 0, 0]),
        ("Clear IPI", 3, [0; 4]),
        ("Remote FENCE.I", 5, [mask, 0, 0, 0]),
        ("Remote SFENCE.VMA", 6, [mask, 0x1000, 0x1000, 0]),
        ("Remote SFENCE.VMA with ASID", 7, [mask, 0x1000, 0x1000, 1]),
    ] {
        // a6 is ignored, a1 is kept.
        let reply = call(extension, 77, &arguments);
        let holds = (reply.error, reply.value) == (0, arguments[1]);
        print(name, section, "succeeds, a1 is kept", holds);
    }
    let getchar = call(2, 0, &[]);
    print(
        name,
        "Console Getchar",
        "-1 when there is none",
        getchar.error == -1,
    );
    let sent = call(4, 0, &[mask]).error == 0;
    while sent && csr::read!("sip") & csr::SOFTWARE == 0 {}
    print(name, "Send IPI", "it arrives", sent);
    let cleared = call(3, 0, &[]).error >= 0 && csr::read!("sip") & csr::SOFTWARE == 0;
    print(name, "Clear IPI", "it is cleared", cleared);
    for (section, extension) in [
        ("Send IPI", 4),
        ("Remote FENCE.I", 5),
        ("Remote SFENCE.VMA", 6),
        ("Remote SFENCE.VMA with ASID", 7),
    ] {
        let context = code!("ecall").supervisor().with(17, extension);
        let trap = context.with(10, 0x10).run();
        println!("{name}, {section}: the hart mask is not there: {trap}");
    }
}

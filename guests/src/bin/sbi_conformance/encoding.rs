//! Chapter "Binary Encoding".

use crate::chapter::{ALL, Chapter, NOT_SUPPORTED, call, print};
use guests::{
    csr,
    sbi::{BASE, DBCN, FWFT, HSM, IPI, PMU, RFENCE, SRST, STA, SUSP, TIME},
    start,
};

pub fn statements() {
    let name = "Binary Encoding";
    let unsupported = |extension, function| call(extension, function, &[]).error == NOT_SUPPORTED;
    for (statement, extensions) in [
        ("reserved legacy EIDs", &[9, 0xa, 0xf][..]),
        ("EIDs of nobody", &[0x11, 0x20, 0x1234_5678, 0x7fff_ffff]),
        ("an experimental EID", &[0x0800_0000]),
        ("a vendor's EID", &[0x0900_0000]),
        ("negative EIDs", &[i32::MIN as u64, ALL]),
    ] {
        let holds = extensions
            .iter()
            .all(|&extension| unsupported(extension, 0) && call(BASE, 3, &[extension]).value == 0);
        print(name, "unsupported EID", statement, holds);
    }
    for (extension, statement, functions) in [
        (BASE, "BASE", 7),
        (TIME, "TIME", 1),
        (IPI, "IPI", 1),
        (RFENCE, "RFENCE", 7),
        (HSM, "HSM", 4),
        (SRST, "SRST", 1),
    ] {
        let mut beyond = [functions, functions + 1, 0x7fff_ffff, ALL].into_iter();
        let holds = beyond.all(|function| unsupported(extension, function));
        print(name, "unsupported FID", statement, holds);
    }
    for (extension, statement, functions) in [
        (DBCN, "DBCN", 3),
        (PMU, "PMU", 9),
        (SUSP, "SUSP", 1),
        (STA, "STA", 1),
        (FWFT, "FWFT", 2),
    ] {
        let chapter = Chapter::new(name, extension, functions);
        chapter.holds("unsupported FID", statement, || {
            unsupported(extension, functions) && unsupported(extension, ALL)
        });
    }
    let hart = start::hart();
    for (statement, mask, base) in [
        ("an empty mask", 0, 0),
        ("this hart, by a base", 1, hart),
        ("this hart, by a bit", 1 << hart, 0),
        ("all harts, whatever the mask", 0, ALL),
    ] {
        let fences = (0..3).all(|fence| call(RFENCE, fence, &[mask, base]).error == 0);
        let holds = fences && call(IPI, 0, &[mask, base]).error == 0;
        print(name, "Hart list parameter", statement, holds);
    }
    csr::write!("sip", 0u64);
}

//! Chapter "System Reset Extension".

use crate::chapter::{Chapter, INVALID_PARAM};
use guests::sbi::SRST;

pub fn statements() {
    let srst = Chapter::new("SRST", SRST, 1);
    for (statement, arguments) in [
        ("a reserved type", [3, 0]),
        ("the last reserved type", [0xefff_ffff, 0]),
        ("a platform's type", [0xf000_0000, 0]),
        ("a reserved reason", [0, 2]),
        ("the last reserved reason", [0, 0xdfff_ffff]),
        ("a platform's reason", [0, 0xf000_0000]),
    ] {
        srst.holds("Function: System reset", statement, || {
            srst.error(0, &arguments) == INVALID_PARAM
        });
    }
}

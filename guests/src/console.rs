//! The console: one SBI call for each line where the firmware has the debug console, one for each
//! byte where it has not.

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, Ordering};

use crate::sbi;

struct Line {
    bytes: UnsafeCell<[u8; 512]>,
    used: UnsafeCell<usize>,
}

// SAFETY: one hart, and no trap handler of the library prints while a line is being put together.
unsafe impl Sync for Line {}

static LINE: Line = Line {
    bytes: UnsafeCell::new([0; 512]),
    used: UnsafeCell::new(0),
};

/// 0: not yet asked, 1: debug console, 2: legacy.
static KIND: AtomicU8 = AtomicU8::new(0);

struct Out;

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            // SAFETY: see `Line`'s Sync; `used` stays within the array because a full line is sent.
            unsafe {
                let used = &mut *LINE.used.get();
                (*LINE.bytes.get())[*used] = byte;
                *used += 1;
                if byte == b'\n' || *used == 512 {
                    flush();
                }
            }
        }
        Ok(())
    }
}

/// Sends what has been printed since the last line end.
pub fn flush() {
    // SAFETY: see `Line`'s Sync.
    let (bytes, used) = unsafe { (&*LINE.bytes.get(), core::mem::take(&mut *LINE.used.get())) };
    let mut rest = &bytes[..used];
    if KIND.load(Ordering::Relaxed) == 0 {
        let present = sbi::call(sbi::BASE, 3, [sbi::DBCN, 0, 0, 0, 0, 0]).value != 0;
        KIND.store(if present { 1 } else { 2 }, Ordering::Relaxed);
    }
    if KIND.load(Ordering::Relaxed) == 1 {
        while !rest.is_empty() {
            // Memory is identity-mapped wherever the library prints, so this is physical.
            let address = rest.as_ptr() as u64;
            let reply = sbi::call(sbi::DBCN, 0, [rest.len() as u64, address, 0, 0, 0, 0]);
            if reply.error != 0 {
                break;
            }
            rest = &rest[(reply.value as usize).min(rest.len())..];
        }
    } else {
        for &byte in rest {
            sbi::call(1, 0, [byte as u64, 0, 0, 0, 0, 0]);
        }
    }
}

#[doc(hidden)]
pub fn print(arguments: fmt::Arguments) {
    // `Out` never fails.
    let _ = Out.write_fmt(arguments);
}

#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::console::print(format_args!($($argument)*)) };
}

#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => {{
        $crate::print!($($argument)*);
        $crate::print!("\n");
    }};
}

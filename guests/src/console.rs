//! The console: one SBI call for each line where the firmware has the debug console, one for each
//! byte where it has not.

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::{harts, sbi};

struct Line {
    bytes: UnsafeCell<[u8; 512]>,
    used: UnsafeCell<usize>,
}

// SAFETY: only who holds `OWNER` touches it, and no trap handler of the library prints while a line is
// being put together.
unsafe impl Sync for Line {}

/// The index plus one of the hart that prints; 0: none.
static OWNER: AtomicUsize = AtomicUsize::new(0);

/// Does something while no other hart prints. A hart that prints already may, so that a panic in the
/// middle of a line can be told.
fn alone(print: impl FnOnce()) {
    let me = harts::index() + 1;
    let mine = OWNER.load(Ordering::Relaxed) == me;
    while !mine
        && OWNER
            .compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
    {
        core::hint::spin_loop();
    }
    print();
    if !mine {
        OWNER.store(0, Ordering::Release);
    }
}

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
                    send();
                }
            }
        }
        Ok(())
    }
}

/// Sends what has been printed since the last line end.
pub fn flush() {
    alone(send);
}

fn send() {
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
    alone(|| _ = Out.write_fmt(arguments));
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

//! Never waits: counts, and prints the count with the time every `period=` milliseconds (100) in lines with
//! numbers, for `seconds=` or until `q` is typed. It says what was typed. With `fails=1` its end is a failure; with `prompt=1` each count is followed
//! by a line without end.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::hint::black_box;
    use guests::{console, csr, print, println, sbi, tree};

    /// Turns between two looks at the time.
    const TURNS: u64 = 1000;

    fn main() {
        let (_, frequency) = tree::machine();
        let period = tree::argument("period").unwrap_or(100) * frequency / 1000;
        let start = csr::read!("time");
        let end = tree::argument("seconds").map_or(u64::MAX, |seconds| start + seconds * frequency);
        let (mut count, mut line, mut next) = (0u64, 0u64, start);
        let mut now = start;
        while now < end {
            for _ in 0..TURNS {
                count = black_box(count + 1);
            }
            now = csr::read!("time");
            if now >= next {
                line += 1;
                println!(
                    "count {count} at {} us, line {line}",
                    now * 1000 / (frequency / 1000)
                );
                if tree::argument("prompt").is_some() {
                    print!("ready> ");
                    console::flush();
                }
                if is_told_to_end() {
                    break;
                }
                next = now + period;
            }
        }
        if tree::argument("fails").is_some() {
            sbi::power_off(true);
        }
    }

    /// Says what was typed; whether `q` was. Legacy `console_getchar`: -1 when there is nothing.
    fn is_told_to_end() -> bool {
        let mut is_told = false;
        while let byte @ 0..=0xff = sbi::call(2, 0, [0; 6]).error {
            println!("typed {byte}");
            is_told |= byte == i64::from(b'q');
        }
        is_told
    }

    guests::program!(main);
}

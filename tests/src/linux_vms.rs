//! Linux on several harts, and several Linux guests on one board.

pub fn trials() -> Vec<libtest_mimic::Trial> {
    Vec::new()
}

//! Links the monitor again when its link script has changed, which cargo does not see by itself.

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
}

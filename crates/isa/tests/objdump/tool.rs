//! Runs the GNU assembler and disassembler for RISC-V.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Everything that `isa` knows and binutils has a name for. Zcb came to binutils later than
/// 2.40, see `decode`.
const ARCHITECTURE: &str = "rv64gc_zicbom_zicboz_svinval_zifencei";

/// What the disassembler prints for each of `words`: mnemonic and operands with one space
/// between. A compressed instruction in the low half must have [`FILLER`] in the high half.
///
/// `name` is what the directory of its files begins with.
///
/// # Panics
/// When the tools are missing or print something unexpected.
pub fn disassemble(name: &str, words: &[u32]) -> Vec<String> {
    disassemble_for(name, ARCHITECTURE, words)
}

/// The same for another architecture.
///
/// # Panics
/// As [`disassemble`].
pub fn disassemble_for(name: &str, architecture: &str, words: &[u32]) -> Vec<String> {
    let directory = tempfile::Builder::new().prefix(name).tempdir();
    let directory = directory.expect("a directory for temporary files");
    let directory = directory.path();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    fs::write(directory.join("words.bin"), bytes).expect("writing the words");
    // A bare binary would be disassembled as rv64gc, without Svinval and the cache-block
    // operations. An object file says which extensions it uses.
    fs::write(directory.join("words.s"), ".text\n.incbin \"words.bin\"\n").expect("the source");
    let march = format!("-march={architecture}");
    run(directory, "as", &[&march, "-o", "words.o", "words.s"]);
    // The assembler marks what is included as data, which would be shown as data.
    run(directory, "strip", &["words.o"]);
    let text = run(
        directory,
        "objdump",
        &["-D", "-j", ".text", "-M", "no-aliases,numeric", "words.o"],
    );

    let lines: Vec<String> = text
        .lines()
        .filter_map(|line| instruction_at(line, 4))
        .collect();
    assert_eq!(lines.len(), words.len(), "the disassembler lost its place");
    lines
}

/// `c.nop`: fills the word that a compressed instruction begins.
pub const FILLER: u32 = 0x0001_0000;

/// The instruction in one line of output, if it is one and its address is a multiple of `step`.
fn instruction_at(line: &str, step: u64) -> Option<String> {
    let (address, rest) = line.split_once(":\t")?;
    let address = u64::from_str_radix(address.trim(), 16).ok()?;
    let (_, instruction) = rest.split_once('\t')?;
    // Addresses that the disassembler works out are comments.
    let (instruction, _) = instruction.split_once(" # ").unwrap_or((instruction, ""));
    (address % step == 0).then(|| instruction.trim().replace('\t', " "))
}

fn run(directory: &Path, tool: &str, arguments: &[&str]) -> String {
    let program = format!("riscv64-linux-gnu-{tool}");
    let output = Command::new(&program)
        .args(arguments)
        .current_dir(directory)
        .output();
    let output = output.unwrap_or_else(|error| {
        panic!("cannot run {program}: {error}. Install the package binutils-riscv64-linux-gnu.")
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed: {errors}");
    String::from_utf8(output.stdout).expect("output in UTF-8")
}

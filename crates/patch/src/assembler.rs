//! A small assembler for routines: words, and labels for the few branches they have.

use alloc::vec::Vec;
use isa::encode as e;
use isa::reg::Reg;

/// Code being assembled.
#[derive(Default)]
pub struct Assembler {
    words: Vec<u32>,
    branches: Vec<Branch>,
    labels: Vec<Option<usize>>,
}

/// A place in the code that a branch may name, before it is known too.
#[derive(Clone, Copy, Debug)]
pub struct Label(usize);

struct Branch {
    at: usize,
    target: Label,
    encode: fn(Reg, Reg, i32) -> u32,
    left: Reg,
    right: Reg,
}

impl Assembler {
    /// Appends one instruction word.
    pub fn emit(&mut self, word: u32) {
        self.words.push(word);
    }

    /// A label to be placed later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places `label` here.
    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.words.len());
    }

    /// `beq left, right, target`.
    pub fn beq(&mut self, left: Reg, right: Reg, target: Label) {
        self.branch(e::beq, left, right, target);
    }

    /// `bne left, right, target`.
    pub fn bne(&mut self, left: Reg, right: Reg, target: Label) {
        self.branch(e::bne, left, right, target);
    }

    /// `blt left, right, target`.
    pub fn blt(&mut self, left: Reg, right: Reg, target: Label) {
        self.branch(e::blt, left, right, target);
    }

    fn branch(&mut self, encode: fn(Reg, Reg, i32) -> u32, left: Reg, right: Reg, target: Label) {
        self.branches.push(Branch {
            at: self.words.len(),
            target,
            encode,
            left,
            right,
        });
        self.words.push(0);
    }

    /// Loads a constant; of the result, the low 32 bits are `value`.
    pub fn li(&mut self, rd: Reg, value: u32) {
        let low = ((value << 20) as i32) >> 20;
        let high = value.wrapping_sub(low as u32);
        if high == 0 {
            self.emit(e::addi(rd, Reg::X0, low));
        } else {
            self.emit(e::lui(rd, high >> 12));
            self.emit(e::addi(rd, rd, low));
        }
    }

    /// The finished words.
    ///
    /// # Panics
    /// When a branch names a label that was never placed.
    pub fn finish(mut self) -> Vec<u32> {
        for branch in &self.branches {
            let target = self.labels[branch.target.0].expect("label was placed");
            let offset = (target as i32 - branch.at as i32) * 4;
            self.words[branch.at] = (branch.encode)(branch.left, branch.right, offset);
        }
        self.words
    }
}

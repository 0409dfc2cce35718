//! temporary
use super::vm::Vm;
use patch::HartBlock;
impl Vm { pub fn call(&mut self, block: &mut HartBlock) { block.hart.x[10] = -2i64 as u64; block.hart.pc += 4; } }

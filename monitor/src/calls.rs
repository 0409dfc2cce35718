//! temporary
use super::vm::Vm;
use patch::HartBlock;
use isa::address::GuestPhys;
use isa::csr::interrupt;
use super::csr;
impl Vm {
    pub fn call(&mut self, block: &mut HartBlock) {
        self.statistics.calls += 1;
        let a = |n: usize| block.hart.x[10 + n];
        let (ext, f) = (a(7), a(6));
        let mut ret: (i64, u64) = (0, 0);
        match (ext, f) {
            (0x10, 0) => ret.1 = 2 << 24,
            (0x10, 3) => ret.1 = [0x10u64, 0x54494d45, 0x53525354, 0x4442434e, 0x48534d].contains(&a(0)) as u64,
            (0x10, _) => {}
            (0x54494d45, _) => {
                let t = a(0);
                block.hart.set_pending(interrupt::STI, false);
                sbi_rt::set_timer(t);
                // SAFETY: x
                unsafe { csr::set!("sie", interrupt::STI) };
            }
            (0x48534d, 2) => {}
            (0x53525354, _) => { if a(0) == 0 { self.power_off(block, a(1) as u16) } else { return self.reset(block) } }
            (0x4442434e, 0) => {
                let n = a(0).min(256);
                let mut b = [0u8; 256];
                self.ram.read(GuestPhys(a(1)), &mut b[..n as usize]);
                super::console::send(&b[..n as usize]);
                ret.1 = n;
            }
            (0x4442434e, 2) => super::console::send(&[a(0) as u8]),
            (1, _) => super::console::send(&[a(0) as u8]),
            (8, _) => self.power_off(block, 0),
            _ => ret.0 = -2,
        }
        block.hart.x[10] = ret.0 as u64;
        if ext > 15 { block.hart.x[11] = ret.1; }
        block.hart.pc += 4;
    }
}

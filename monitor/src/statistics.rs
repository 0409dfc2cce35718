//! Counts of what happened to a guest, and their print-out at its end.

use alloc::format;
use alloc::string::String;

use patch::Kind;
use patch::template::{GATE_INSTRUCTIONS, KIND_NAMES, KINDS};

use super::virtual_hart::Vcpu;

/// Counts that the slow path keeps.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Privileged instructions that trapped as illegal, by kind.
    pub trapped: [u64; KINDS],
    /// Privileged instructions that a patch led to the reference emulator, by kind.
    pub emulated: [u64; KINDS],
    /// Cache-block instructions of VS that were emulated.
    pub cache_blocks: u64,
    /// Page faults of the guest that filled a shadow table.
    pub fills: u64,
    /// Exceptions that the slow path delivered to the guest.
    pub delivered: u64,
    /// Interrupts delivered to the guest.
    pub interrupts: u64,
    /// Loads and stores of emulated devices.
    pub device_accesses: u64,
    /// How many of them came by a patch.
    pub device_accesses_patched: u64,
    /// Mistakes of drivers for which a device waits to be reset.
    pub driver_mistakes: u64,
    /// Data reads of pages that hold patches.
    pub hidden_reads: u64,
    /// Writes to pages that held patches.
    pub hidden_writes: u64,
    /// SBI calls.
    pub calls: u64,
    /// Exits to the slow path.
    pub exits: u64,
}

impl Statistics {
    /// Counts one instruction that trapped.
    pub fn trapped(&mut self, kind: Kind) {
        self.trapped[kind as usize] += 1;
    }

    /// Counts one instruction that came by a patch.
    pub fn emulated(&mut self, kind: Kind) {
        self.emulated[kind as usize] += 1;
    }

    /// All counts as a JSON object's members; `frame` is what a saved trap
    /// frame adds to the gate's instructions, and `rest` what else there is to say. An instruction
    /// counts as patched when a patch served it from beginning to end; those that a patch handed to
    /// the reference emulator are counted by themselves.
    pub fn json<'a>(
        &self,
        vcpus: impl Iterator<Item = &'a Vcpu>,
        frame: u32,
        rest: &str,
    ) -> String {
        let (mut by_routines, mut cache_misses) = ([0; KINDS], 0);
        for vcpu in vcpus {
            for (sum, served) in by_routines.iter_mut().zip(vcpu.block.served) {
                *sum += served;
            }
            cache_misses += vcpu.block.cache_misses;
        }
        let mut by_kind = String::new();
        let (mut privileged, mut patched, mut emulated) = (0, 0, 0);
        for kind in 0..KINDS {
            // A routine counts itself also when it leaves its instruction to the emulator; none does
            // where the VM is without `statistics`.
            let from_patch = self.emulated[kind];
            let served = by_routines[kind].saturating_sub(from_patch);
            let executed = served + from_patch + self.trapped[kind];
            if executed > 0 {
                let comma = if by_kind.is_empty() { "" } else { "," };
                by_kind += &format!(
                    "{comma}\"{}\":{{\"executed\":{executed},\"patched\":{served},\"emulated_from_patch\":{from_patch},\"gate_instructions\":{}}}",
                    KIND_NAMES[kind],
                    GATE_INSTRUCTIONS[kind] + frame
                );
            }
            privileged += executed;
            patched += served;
            emulated += from_patch;
        }
        format!(
            "\"privileged\":{privileged},\"patched\":{patched},\"emulated_from_patch\":{emulated},\"by_kind\":{{{by_kind}}},\
             \"exits\":{},\"cache_blocks\":{},\"fills\":{},\"delivered\":{},\"interrupts\":{},\"device_accesses\":{},\"device_accesses_patched\":{},\"driver_mistakes\":{},\"hidden_reads\":{},\
             \"hidden_writes\":{},\"calls\":{},\"cache_misses\":{},{rest}",
            self.exits,
            self.cache_blocks,
            self.fills,
            self.delivered,
            self.interrupts,
            self.device_accesses,
            self.device_accesses_patched,
            self.driver_mistakes,
            self.hidden_reads,
            self.hidden_writes,
            self.calls,
            cache_misses,
        )
    }
}

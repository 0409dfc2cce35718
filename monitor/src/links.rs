//! Named ports of virtio consoles: those of one name connect machines, others lead to the log.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use spin::Mutex;

use super::console::{self, say};
use super::system;

/// Bytes that wait for a port's reader; more are lost.
const MOST: usize = 64 << 10;
/// Bytes that a reader is offered at once.
const PIECE: usize = 4096;
/// Longest line that is said at once.
const LONGEST_LINE: usize = 512;

/// Heap that a port may take.
pub const HEAP_OF_PORT: u64 = (MOST + LONGEST_LINE) as u64;

/// A named port.
struct Port {
    vm: usize,
    name: String,
    /// For the guest; or, if no other machine has the port, from it for the log.
    bytes: Mutex<VecDeque<u8>>,
}

/// The named ports of all machines.
pub struct Links {
    /// Those of a machine are next to each other, in its order.
    ports: Box<[Port]>,
}

impl Links {
    /// The ports of machines with these names of ports.
    pub fn new<'a>(vms: impl Iterator<Item = &'a [String]>) -> Self {
        let mut ports = Vec::new();
        for (vm, names) in vms.enumerate() {
            ports.extend(names.iter().map(|name| Port {
                vm,
                name: name.clone(),
                bytes: Mutex::new(VecDeque::new()),
            }));
        }
        Self {
            ports: ports.into(),
        }
    }

    fn of(&self, vm: usize) -> impl Iterator<Item = &Port> {
        self.ports.iter().filter(move |port| port.vm == vm)
    }

    /// Takes bytes that a machine sends to one of its ports; how many.
    pub fn send(&self, vm: usize, port: usize, bytes: &[u8]) -> usize {
        let Some(from) = self.of(vm).nth(port) else {
            return bytes.len();
        };
        if self.is_alone(from) {
            return console::in_time(bytes, |piece| from.log(piece));
        }
        for to in &self.ports {
            if to.vm != vm && to.name == from.name {
                let mut waiting = to.bytes.lock();
                let room = MOST - waiting.len();
                waiting.extend(&bytes[..bytes.len().min(room)]);
                drop(waiting);
                system::get().ring(1 << to.vm);
            }
        }
        bytes.len()
    }

    /// Offers what waits for each of a machine's ports to `take`, which says how much it took.
    pub fn receive(&self, vm: usize, mut take: impl FnMut(usize, &[u8]) -> usize) {
        for (index, port) in self.of(vm).enumerate() {
            if self.is_alone(port) {
                continue;
            }
            // Not locked meanwhile, and nobody else takes any: the machine's lock is held.
            for _ in 0..MOST / PIECE {
                let next = port
                    .bytes
                    .lock()
                    .iter()
                    .take(PIECE)
                    .copied()
                    .collect::<Vec<_>>();
                let taken = if next.is_empty() {
                    0
                } else {
                    take(index, &next)
                };
                port.bytes.lock().drain(..taken);
                if taken == 0 {
                    break;
                }
            }
        }
    }

    /// Whether nobody is at them at the moment.
    pub fn is_free(&self) -> bool {
        self.ports
            .iter()
            .all(|port| port.bytes.try_lock().is_some())
    }

    fn is_alone(&self, port: &Port) -> bool {
        let mut others = self.ports.iter().filter(|other| other.vm != port.vm);
        others.all(|other| other.name != port.name)
    }
}

impl Port {
    /// Says whole lines.
    fn log(&self, bytes: &[u8]) {
        let mut line = self.bytes.lock();
        for &byte in bytes {
            if byte != b'\n' {
                line.push_back(byte);
            }
            if byte == b'\n' || line.len() == LONGEST_LINE {
                let text: Vec<u8> = line.drain(..).filter(|byte| *byte >= b' ').collect();
                let text = String::from_utf8_lossy(&text);
                say!("{}port {}: {text}", system::get().label(self.vm), self.name);
            }
        }
    }
}

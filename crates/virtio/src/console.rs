//! The console device (virtio 1.2, section 5.3): a console, and further ports that have names.
//!
//! [`Mmio::serve`] takes what the driver sends, [`Mmio::input`] hands it bytes. A driver that does not
//! know of several ports (VIRTIO_CONSOLE_F_MULTIPORT) has the console alone.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::mmio::CONFIG_SIZE;
use crate::segments;
use crate::{Broken, Chain, Device, Memory, Mmio};

/// The features of section 5.3.3 that are offered.
pub mod feature {
    /// The device says how large the console is.
    pub const SIZE: u64 = 1 << 0;
    /// There are several ports, and queues for control.
    pub const MULTIPORT: u64 = 1 << 1;
    /// The driver may write a byte with no queue.
    pub const EMERG_WRITE: u64 = 1 << 2;
}

/// Events of control messages (section 5.3.6.2).
mod event {
    pub const DEVICE_READY: u16 = 0;
    pub const DEVICE_ADD: u16 = 1;
    pub const PORT_READY: u16 = 3;
    pub const CONSOLE_PORT: u16 = 4;
    pub const PORT_OPEN: u16 = 6;
    pub const PORT_NAME: u16 = 7;
}

/// Most ports, the console among them.
pub const MOST_PORTS: usize = 16;
/// The port that is the console.
pub const CONSOLE: usize = 0;

/// The queues of control messages, from the device and from the driver.
const CONTROL_RECEIVE: usize = 2;
const CONTROL_TRANSMIT: usize = 3;
/// Bytes of a control message: port, event, value.
const CONTROL: usize = 8;
/// Most chains of a queue that one call takes.
const BATCH: usize = 64;
/// Most bytes of a port that [`Mmio::serve`] takes.
const MOST_BYTES: usize = 512;
/// Bytes that are read at once.
const PIECE: usize = 512;
/// Where in the configuration space `emerg_wr` is.
const EMERGENCY: usize = 8;

/// Columns and rows of a console.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// A message that the driver is to get, in the order in which it gets them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Message {
    Add,
    Console,
    Name,
    Open,
}

const MESSAGES: [Message; 4] = [Message::Add, Message::Console, Message::Name, Message::Open];

#[derive(Clone, Debug, Default)]
struct Port {
    /// Empty for the console.
    name: String,
    /// Whether the driver knows the port.
    ready: bool,
    /// Whether somebody is at the driver's end.
    guest_open: bool,
    /// A bit for each [`Message`] to be sent: what it says is looked up then.
    pending: u8,
    /// What the driver sent and was not taken yet.
    sent: Option<Chain>,
}

impl Port {
    fn tell(&mut self, message: Message) {
        self.pending |= 1 << message as u8;
    }
}

/// A console device.
#[derive(Clone, Debug)]
pub struct Console {
    size: Option<Size>,
    ports: Vec<Port>,
    emergency: Option<u8>,
}

impl Console {
    /// A device with a console of this size, if that is known, and a port for each of `names`. The
    /// host's ends are open.
    ///
    /// # Panics
    /// When there are more than 15 names.
    #[must_use]
    pub fn new(size: Option<Size>, names: &[&str]) -> Self {
        assert!(names.len() < MOST_PORTS, "at most 15 names");
        let mut ports = vec![Port::default()];
        ports.extend(names.iter().map(|&name| Port {
            name: name.into(),
            ..Port::default()
        }));
        Self {
            size,
            ports,
            emergency: None,
        }
    }

    /// Whether somebody is at the driver's end of a port. A console's always counts as open.
    #[must_use]
    pub fn is_open(&self, port: usize) -> bool {
        port == CONSOLE || self.ports.get(port).is_some_and(|port| port.guest_open)
    }

    /// Takes note of a message from the driver.
    fn control(&mut self, message: [u8; CONTROL]) {
        let [a, b, c, d, event_low, event_high, value_low, value_high] = message;
        let id = u32::from_le_bytes([a, b, c, d]) as usize;
        let value = u16::from_le_bytes([value_low, value_high]);
        match (u16::from_le_bytes([event_low, event_high]), value) {
            (event::DEVICE_READY, 1) => {
                for port in &mut self.ports {
                    port.tell(Message::Add);
                }
            }
            (event::PORT_READY, 1) => {
                let Some(port) = self.ports.get_mut(id) else {
                    return;
                };
                port.ready = true;
                port.tell(if id == CONSOLE {
                    Message::Console
                } else {
                    Message::Name
                });
                port.tell(Message::Open);
            }
            (event::PORT_OPEN, value) => {
                if let Some(port) = self.ports.get_mut(id) {
                    port.guest_open = value != 0;
                }
            }
            _ => {}
        }
    }

    /// The next message to the driver, as bytes.
    fn next_message(&self) -> Option<(usize, Message, Vec<u8>)> {
        let is_pending = |port: &Port| port.pending != 0;
        let (id, port) = (0..).zip(&self.ports).find(|(_, port)| is_pending(port))?;
        let message = MESSAGES[port.pending.trailing_zeros() as usize];
        let (event, value, name) = match message {
            Message::Add => (event::DEVICE_ADD, 1_u16, ""),
            Message::Console => (event::CONSOLE_PORT, 1, ""),
            Message::Name => (event::PORT_NAME, 1, port.name.as_str()),
            Message::Open => (event::PORT_OPEN, 1, ""),
        };
        let mut bytes = Vec::with_capacity(CONTROL + name.len());
        bytes.extend_from_slice(&u32::to_le_bytes(id));
        bytes.extend_from_slice(&event.to_le_bytes());
        bytes.extend_from_slice(&value.to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        Some((id as usize, message, bytes))
    }
}

impl Device for Console {
    const ID: u32 = 3;
    const QUEUES: usize = 2 * (MOST_PORTS + 1);

    fn features(&self) -> u64 {
        let size = self.size.map_or(0, |_| feature::SIZE);
        feature::MULTIPORT | feature::EMERG_WRITE | size
    }

    fn config(&self) -> [u8; CONFIG_SIZE] {
        let mut config = [0; CONFIG_SIZE];
        if let Some(Size { columns, rows }) = self.size {
            config[..2].copy_from_slice(&columns.to_le_bytes());
            config[2..4].copy_from_slice(&rows.to_le_bytes());
        }
        config[4..8].copy_from_slice(&(self.ports.len() as u32).to_le_bytes());
        config
    }

    fn write_config(&mut self, offset: usize, bytes: &[u8]) {
        if offset == EMERGENCY {
            self.emergency = bytes.first().copied();
        }
    }

    fn reset(&mut self) {
        for port in &mut self.ports {
            *port = Port {
                name: core::mem::take(&mut port.name),
                ..Port::default()
            };
        }
    }
}

impl Mmio<Console> {
    /// The byte that the driver has written with no queue, as it may at any time, even before it is
    /// ready. Ask after each write to a register.
    #[must_use]
    pub fn emergency(&mut self) -> Option<u8> {
        self.device_mut().emergency.take()
    }

    /// Hands what the driver sends, port and bytes, to `output`, which returns how many bytes it took,
    /// answers its control messages, and decides upon interrupts. Call it after a doorbell.
    ///
    /// It ends after 512 bytes of each port, or as soon as `output` takes fewer than it is given, and is true
    /// when there may be more: call it again, after other work.
    #[must_use]
    pub fn serve(
        &mut self,
        output: &mut dyn FnMut(usize, &[u8]) -> usize,
        memory: &mut dyn Memory,
    ) -> bool {
        let mut may_be_more = false;
        if self.has_feature(feature::MULTIPORT) {
            may_be_more |= self.serve_control(memory);
            self.tell(memory);
        }
        for port in 0..self.ports() {
            may_be_more |= self.serve_port(port, output, memory);
        }
        may_be_more
    }

    /// Hands the driver bytes of a port; how many it had room for. Offer the rest again after a doorbell.
    /// A port takes none while nobody is at the driver's end of it.
    #[must_use]
    pub fn input(&mut self, port: usize, bytes: &[u8], memory: &mut dyn Memory) -> usize {
        if port >= self.ports() || !self.device().is_open(port) {
            return 0;
        }
        let queue = queue(port);
        let mut taken = 0;
        for _ in 0..BATCH {
            let rest = &bytes[taken..];
            if rest.is_empty() {
                break;
            }
            let Some(chain) = self.pop(queue, memory) else {
                break;
            };
            let written = segments::write(&chain.writable, rest, memory);
            if written == 0 {
                self.fail(Broken::Request);
                break;
            }
            taken += written;
            self.push_used(queue, chain.head, written as u32, memory);
        }
        self.settle(queue, memory);
        taken
    }

    /// How many ports the driver knows how to use.
    fn ports(&self) -> usize {
        if self.has_feature(feature::MULTIPORT) {
            self.device().ports.len()
        } else {
            1
        }
    }

    /// Takes control messages; whether there may be more.
    fn serve_control(&mut self, memory: &mut dyn Memory) -> bool {
        let mut may_be_more = true;
        for _ in 0..BATCH {
            let Some(chain) = self.pop(CONTROL_TRANSMIT, memory) else {
                may_be_more = false;
                break;
            };
            let mut message = [0; CONTROL];
            if segments::read(&chain.readable, &mut message, memory) == CONTROL {
                self.device_mut().control(message);
            }
            self.push_used(CONTROL_TRANSMIT, chain.head, 0, memory);
        }
        self.settle(CONTROL_TRANSMIT, memory);
        may_be_more
    }

    /// Sends control messages as long as the driver has room for them. There are four for a port at most.
    fn tell(&mut self, memory: &mut dyn Memory) {
        while let Some((port, message, bytes)) = self.device().next_message() {
            let Some(chain) = self.pop(CONTROL_RECEIVE, memory) else {
                break;
            };
            if segments::total(&chain.writable) < bytes.len() as u64 {
                self.fail(Broken::Request);
                return;
            }
            let written = segments::write(&chain.writable, &bytes, memory);
            self.push_used(CONTROL_RECEIVE, chain.head, written as u32, memory);
            self.device_mut().ports[port].pending &= !(1 << message as u8);
        }
        self.settle(CONTROL_RECEIVE, memory);
    }

    /// Takes what the driver sends to a port; whether there may be more.
    fn serve_port(
        &mut self,
        port: usize,
        output: &mut dyn FnMut(usize, &[u8]) -> usize,
        memory: &mut dyn Memory,
    ) -> bool {
        let queue = queue(port) + 1;
        let mut piece = [0; PIECE];
        let mut left = MOST_BYTES;
        let mut may_be_more = true;
        for _ in 0..BATCH {
            if left == 0 {
                break;
            }
            let kept = self.device_mut().ports[port].sent.take();
            let Some(mut chain) = kept.or_else(|| self.pop(queue, memory)) else {
                may_be_more = false;
                break;
            };
            while left != 0 && !chain.readable.is_empty() {
                let size = left.min(PIECE);
                let size = segments::read(&chain.readable, &mut piece[..size], memory);
                if size == 0 {
                    self.fail(Broken::Segment);
                    return false;
                }
                let taken = output(port, &piece[..size]).min(size);
                segments::skip(&mut chain.readable, taken as u32);
                left = if taken == size { left - size } else { 0 };
            }
            if chain.readable.is_empty() {
                self.push_used(queue, chain.head, 0, memory);
            } else {
                self.device_mut().ports[port].sent = Some(chain);
            }
        }
        self.settle(queue, memory);
        may_be_more
    }
}

/// The queue of bytes for the driver; that of bytes from it is the next one (section 5.3.2).
fn queue(port: usize) -> usize {
    if port == CONSOLE { 0 } else { 2 * port + 2 }
}

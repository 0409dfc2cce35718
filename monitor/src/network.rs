//! The network: a switch between the interfaces of all machines, with the host's network device as its
//! uplink.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bundle::Mac;
use spin::{Mutex, Once};
use switch::{Addresses, Frame, Guest, Inbox, Port, Switch};

use super::system;

/// Heap that the frames that wait for an interface may take.
pub const HEAP_OF_PORT: u64 =
    (Inbox::MOST_BYTES + (Inbox::MOST_FRAMES * size_of::<Frame>())) as u64;

/// An interface of a machine.
struct Interface {
    mac: Mac,
    /// Its machine's name.
    name: String,
    /// The machine's number, if the machine could be made.
    vm: Once<usize>,
    inbox: Mutex<Inbox>,
}

/// The network.
pub struct Network {
    switch: Switch,
    interfaces: Box<[Interface]>,
}

impl Network {
    /// A network for the interfaces of all these machines.
    pub fn new(vms: &[bundle::Vm]) -> Result<Self, switch::Error> {
        let nets = || vms.iter().flat_map(|vm| &vm.nets);
        let mut addresses = Addresses::given(nets().filter_map(|net| net.mac));
        let (mut guests, mut names) = (Vec::new(), Vec::new());
        for (vm, described) in (0..).zip(vms) {
            for (index, net) in (0..).zip(&described.nets) {
                guests.push(Guest {
                    mac: net.mac.unwrap_or_else(|| addresses.choose(vm, index)),
                    uplink: net.uplink,
                });
                names.push(described.name.clone());
            }
        }
        let interface = |(guest, name): (&Guest, String)| Interface {
            mac: guest.mac,
            name,
            vm: Once::new(),
            inbox: Mutex::new(Inbox::new()),
        };
        Ok(Self {
            switch: Switch::new(&guests)?,
            interfaces: guests.iter().zip(names).map(interface).collect(),
        })
    }

    /// The addresses and ports of the interfaces of the machine with this name.
    pub fn ports(&self, name: &str) -> impl Iterator<Item = (Mac, Port)> {
        let ports = (0..).map(Port::Guest).zip(&self.interfaces);
        ports
            .filter(move |(_, interface)| interface.name == name)
            .map(|(port, interface)| (interface.mac, port))
    }

    /// Says which number the machine with this name has got.
    pub fn connect(&self, name: &str, vm: usize) {
        let interfaces = self.interfaces.iter();
        for interface in interfaces.filter(|interface| interface.name == name) {
            interface.vm.call_once(|| vm);
        }
    }

    fn interface(&self, port: Port) -> Option<&Interface> {
        match port {
            Port::Guest(port) => self.interfaces.get(usize::from(port)),
            Port::Uplink => None,
        }
    }

    /// Sends a frame that has come from `from`.
    pub fn send(&self, from: Port, frame: Frame) {
        for port in self.switch.route(from, &frame) {
            match self.interface(port) {
                Some(interface) => self.deliver(port, interface, frame.clone()),
                None => {
                    if let Some(net) = &system::get().devices.net {
                        let mut frame = frame.clone();
                        frame.complete_checksum();
                        net.send(frame.bytes());
                    }
                }
            }
        }
    }

    fn deliver(&self, port: Port, interface: &Interface, frame: Frame) {
        if !interface.vm.is_completed() {
            return;
        }
        let mut inbox = interface.inbox.lock();
        let was_empty = self.switch.deliver(port, frame, &mut inbox);
        drop(inbox);
        if was_empty {
            self.ring(interface);
        }
    }

    /// A frame has come from the host's network device.
    pub fn received(&self, bytes: &[u8]) {
        match Frame::new(bytes.into(), None) {
            Ok(frame) => self.send(Port::Uplink, frame),
            Err(why) => self.switch.dropped(Port::Uplink, why),
        }
    }

    /// Hands the frames that wait for a port to `take`, as long as that returns true. Its machine's lock is
    /// held, so that nobody else takes any. The inbox is not locked meanwhile: who sends waits for no
    /// machine's work, least of all for one in which the monitor has a fault.
    pub fn receive(&self, port: Port, mut take: impl FnMut(&Frame) -> bool) {
        let Some(interface) = self.interface(port) else {
            return;
        };
        for _ in 0..Inbox::MOST_FRAMES {
            let next = interface.inbox.lock().pop();
            let Some(frame) = next else { return };
            if !take(&frame) {
                return interface.inbox.lock().put_back(frame);
            }
        }
        // More than it holds at a time have come: as when it rings.
        self.ring(interface);
    }

    fn ring(&self, interface: &Interface) {
        if let Some(&vm) = interface.vm.get() {
            system::get().ring(1 << vm);
        }
    }

    /// Whether nobody is at the frames that wait at the moment.
    pub fn is_free(&self) -> bool {
        let mut interfaces = self.interfaces.iter();
        interfaces.all(|interface| interface.inbox.try_lock().is_some())
    }

    /// Forgets the frames that wait for a port.
    pub fn forget(&self, port: Port) {
        if let Some(interface) = self.interface(port) {
            interface.inbox.lock().clear();
        }
    }
}

//! The virtio devices of the emulated host: disks, one network device, one entropy device.

use super::board::Board;
use crate::disk::Image;
use anyhow::{Result, bail};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What QEMU calls the far end of the network device.
const UPLINK: &str = "uplink";

/// The devices. Each is put on a bus of its own, disks first and in their order: the monitor numbers
/// them by their addresses.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    pub disks: Vec<Image>,
    /// What the network device reaches, as `-netdev` takes it without `id=`.
    pub uplink: Option<String>,
    pub entropy: bool,
}

impl Devices {
    /// Checks that there is room for them on a board.
    pub fn check(&self, board: &Board) -> Result<()> {
        let count =
            self.disks.len() + usize::from(self.uplink.is_some()) + usize::from(self.entropy);
        let slots = board.slots();
        if count > 0 && slots == 0 {
            bail!(
                "{} has no virtio devices for images of disks, an uplink and entropy: pack disks with bundle:FILE, \
                 leave uplinks out, and give --rng=false",
                board.name()
            );
        }
        if count > slots {
            bail!(
                "the host has room for {slots} virtio devices, and its disks, uplink and entropy device \
                 are {count}: put disks into one image as partitions, or leave the entropy device out \
                 with --rng=false"
            );
        }
        Ok(())
    }

    /// What QEMU is told.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut bus = 0;
        let mut device = |arguments: &mut Vec<OsString>, name: &str| {
            arguments.push("-device".into());
            arguments.push(format!("{name},bus=virtio-mmio-bus.{bus}").into());
            bus += 1;
        };
        for (number, disk) in self.disks.iter().enumerate() {
            let mut drive: OsString = format!(
                "if=none,id=disk{number},format={},cache=writeback,",
                disk.format.name()
            )
            .into();
            if disk.read_only {
                drive.push("readonly=on,");
            }
            drive.push("file=");
            drive.push(value(disk.path.as_os_str()));
            arguments.extend(["-drive".into(), drive]);
            device(
                &mut arguments,
                &format!("virtio-blk-device,drive=disk{number}"),
            );
        }
        if let Some(uplink) = &self.uplink {
            arguments.extend(["-netdev".into(), format!("{uplink},id={UPLINK}").into()]);
            device(
                &mut arguments,
                &format!("virtio-net-device,netdev={UPLINK}"),
            );
        }
        if self.entropy {
            device(&mut arguments, "virtio-rng-device");
        }
        if !arguments.is_empty() {
            // QEMU's transport is the one from before virtio 1.0 unless told otherwise.
            arguments.extend(["-global".into(), "virtio-mmio.force-legacy=false".into()]);
        }
        arguments
    }
}

/// A value in a list of QEMU's: a comma is written twice.
fn value(text: &OsStr) -> OsString {
    let bytes = text.as_bytes().iter();
    let doubled = bytes.flat_map(|&byte| std::iter::repeat_n(byte, 1 + usize::from(byte == b',')));
    OsString::from_vec(doubled.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Format;

    fn image(path: &str, format: Format, read_only: bool) -> Image {
        Image {
            path: path.into(),
            format,
            read_only,
        }
    }

    #[test]
    fn disks_come_first_and_in_their_order() {
        let devices = Devices {
            disks: vec![
                image("/a,b.img", Format::Raw, false),
                image("/c.qcow2", Format::Qcow2, true),
            ],
            uplink: Some("user,hostfwd=tcp::2222-:22".into()),
            entropy: true,
        };
        let arguments = devices.arguments().join(OsStr::new(" "));
        assert_eq!(
            arguments.to_string_lossy(),
            "-drive if=none,id=disk0,format=raw,cache=writeback,file=/a,,b.img \
             -device virtio-blk-device,drive=disk0,bus=virtio-mmio-bus.0 \
             -drive if=none,id=disk1,format=qcow2,cache=writeback,readonly=on,file=/c.qcow2 \
             -device virtio-blk-device,drive=disk1,bus=virtio-mmio-bus.1 \
             -netdev user,hostfwd=tcp::2222-:22,id=uplink \
             -device virtio-net-device,netdev=uplink,bus=virtio-mmio-bus.2 \
             -device virtio-rng-device,bus=virtio-mmio-bus.3 \
             -global virtio-mmio.force-legacy=false"
        );
    }

    #[test]
    fn a_ninth_device_has_no_room() {
        let mut devices = Devices {
            disks: vec![image("/a", Format::Raw, true); 7],
            uplink: Some("user".into()),
            entropy: false,
        };
        devices.check(&Board::default()).unwrap();
        devices.entropy = true;
        let error = devices.check(&Board::default()).unwrap_err().to_string();
        assert!(error.contains("--rng=false"), "{error}");
    }
}

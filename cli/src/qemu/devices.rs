//! The virtio devices of the emulated host: disks, one network device, one entropy device.

use super::board::Board;
use crate::disk::Image;
use anyhow::{Result, bail};
use std::ffi::OsString;

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

    /// What QEMU is told. The images are read for that, so that what is checked is what it opens a moment later.
    ///
    /// # Errors
    /// When an image cannot be a disk.
    pub fn arguments(&self) -> Result<Vec<OsString>> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut bus = 0;
        let mut device = |arguments: &mut Vec<OsString>, name: &str| {
            arguments.push("-device".into());
            arguments.push(format!("{name},bus=virtio-mmio-bus.{bus}").into());
            bus += 1;
        };
        for (number, disk) in self.disks.iter().enumerate() {
            let name = format!("disk{number}");
            arguments.extend(["-blockdev".into(), disk.block_device(&name)?.into()]);
            device(&mut arguments, &format!("virtio-blk-device,drive={name}"));
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
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn image(path: &Path, read_only: bool) -> Image {
        Image {
            path: path.to_owned(),
            format: None,
            read_only,
        }
    }

    #[test]
    fn disks_come_first_and_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, [0; 512]).unwrap();
            path
        };
        let devices = Devices {
            disks: vec![image(&put("a,b.img"), false), image(&put("c"), true)],
            uplink: Some("user,hostfwd=tcp::2222-:22".into()),
            entropy: true,
        };
        let arguments = devices.arguments().unwrap().join("\n".as_ref());
        let arguments = arguments.into_string().unwrap();
        let arguments: Vec<_> = arguments.lines().collect();
        let [disk0, disk1] = [arguments[1], arguments[5]];
        assert!(disk0.contains("a,b.img") && disk0.contains(r#""node-name":"disk0""#));
        assert!(disk1.contains(r#""read-only":true"#) && disk1.contains(r#""node-name":"disk1""#));
        let arguments = arguments
            .join(" ")
            .replace(disk0, "DISK")
            .replace(disk1, "DISK");
        assert_eq!(
            arguments,
            "-blockdev DISK -device virtio-blk-device,drive=disk0,bus=virtio-mmio-bus.0 \
             -blockdev DISK -device virtio-blk-device,drive=disk1,bus=virtio-mmio-bus.1 \
             -netdev user,hostfwd=tcp::2222-:22,id=uplink \
             -device virtio-net-device,netdev=uplink,bus=virtio-mmio-bus.2 \
             -device virtio-rng-device,bus=virtio-mmio-bus.3 \
             -global virtio-mmio.force-legacy=false"
        );
    }

    #[test]
    fn a_ninth_device_has_no_room() {
        let mut devices = Devices {
            disks: vec![image(Path::new("/a"), true); 7],
            uplink: Some("user".into()),
            entropy: false,
        };
        devices.check(&Board::default()).unwrap();
        devices.entropy = true;
        let error = devices.check(&Board::default()).unwrap_err().to_string();
        assert!(error.contains("--rng=false"), "{error}");
    }
}

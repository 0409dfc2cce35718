//! Disks and network interfaces as flags and the configuration file say them.

use anyhow::{Context, Result, bail};
use bundle::{Mac, Net, Source};
use patchvisor::disk::{Content, DEFAULT_CHANGES, Disk, Format};
use patchvisor::size;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// One `[[vm.disk]]`, or the value of `--disk`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DiskTable {
    /// An image that QEMU gives the host.
    pub file: Option<PathBuf>,
    /// An image that is packed.
    pub bundle: Option<PathBuf>,
    /// Number of a disk that the host has.
    device: Option<u32>,
    partition: Option<u32>,
    format: Option<FormatName>,
    /// Whether a qcow2 image may name other files.
    backing: Option<Backing>,
    readonly: bool,
    serial: String,
    #[serde(deserialize_with = "size::deserialize")]
    changes: Option<u64>,
}

/// How a disk is stored in its image.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum FormatName {
    Raw,
    Qcow2,
}

/// What may be behind an image.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Backing {
    Allow,
    Deny,
}

/// One `[[vm.net]]`, or the value of `--net`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetTable {
    mac: Option<Mac>,
    uplink: bool,
    /// Ports that QEMU's user network forwards.
    hostfwd: Vec<String>,
}

/// Parts of QEMU's `--drive` that say nothing here.
const QEMU_PARTS: &[&str] = &[
    "if",
    "id",
    "cache",
    "aio",
    "media",
    "index",
    "bus",
    "unit",
    "discard",
    "detect-zeroes",
    "snapshot",
    "werror",
    "rerror",
    "copy-on-read",
    "locking",
    "node-name",
    "driver",
];

impl FromStr for DiskTable {
    type Err = String;

    /// `FILE`, `bundle:FILE` or `device:N[/PARTITION]`, then options.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut disk = Self::default();
        let mut of_qemu = Vec::new();
        for (place, option) in options(text).into_iter().enumerate() {
            let (key, value) = option.split_once('=').unwrap_or((&option, ""));
            match (key, value) {
                ("file" | "path", _) => disk.file = Some(value.into()),
                ("format", "raw") => disk.format = Some(FormatName::Raw),
                ("format", "qcow2") => disk.format = Some(FormatName::Qcow2),
                ("format", _) => {
                    return Err(format!(
                        "disks are raw or qcow2, and not \"{value}\": if you know where it comes from, \
                         `qemu-img convert -f {value} -O qcow2 FILE FILE.qcow2` makes one"
                    ));
                }
                ("backing", "allow") => disk.backing = Some(Backing::Allow),
                ("backing", "deny") => disk.backing = Some(Backing::Deny),
                ("if", "virtio") => {}
                _ if option.contains('=') && QEMU_PARTS.contains(&key) => of_qemu.push(option),
                ("readonly" | "read-only" | "ro", "" | "on" | "true") => disk.readonly = true,
                ("readonly" | "read-only" | "ro", "off" | "false") => disk.readonly = false,
                ("serial", _) => disk.serial = value.into(),
                ("partition", _) => disk.partition = Some(number(value)?),
                ("changes", _) => disk.changes = Some(size::parse(value)?),
                _ if place == 0 => disk.name(&option)?,
                _ => {
                    return Err(format!(
                        "\"{option}\" is no option of a disk: format=raw|qcow2, backing=allow, readonly, serial=TEXT, \
                         partition=N and changes=SIZE are; a comma in a name is written twice"
                    ));
                }
            }
        }
        if !of_qemu.is_empty() {
            return Err(format!(
                "leave \"{}\" out: that is of QEMU's --drive, and each disk is one of virtio, in the order of the flags",
                of_qemu.join(",")
            ));
        }
        disk.content().map_err(|error| error.to_string())?;
        Ok(disk)
    }
}

impl DiskTable {
    /// Takes the first part of a flag, which says where the disk is.
    fn name(&mut self, text: &str) -> Result<(), String> {
        if let Some(path) = text.strip_prefix("bundle:") {
            self.bundle = Some(path.into());
        } else if let Some(device) = text.strip_prefix("device:") {
            let (device, partition) = match device.split_once('/') {
                Some((device, partition)) => (device, Some(number(partition)?)),
                None => (device, None),
            };
            self.device = Some(number(device)?);
            self.partition = partition;
        } else {
            self.file = Some(text.into());
        }
        Ok(())
    }

    fn content(&self) -> Result<Content> {
        if self.partition == Some(0) {
            bail!("a disk's partitions are counted from 1");
        }
        let is_packed = self.bundle.is_some();
        if self.partition.is_some() && is_packed {
            bail!("a disk in the bundle is given whole: leave partition out");
        }
        if self.changes.is_some() && !is_packed {
            bail!(
                "changes limits those of a disk in the bundle: write bundle:FILE, or leave it out"
            );
        }
        if self.device.is_some() && self.format.is_some() {
            bail!("format is of images, and the host's own disks have none: leave it out");
        }
        if is_packed && self.format == Some(FormatName::Qcow2) {
            bail!("a bundle takes raw images: `qemu-img convert -O raw` makes one");
        }
        if self.backing.is_some() && self.format != Some(FormatName::Qcow2) {
            bail!("backing is of qcow2 images: add format=qcow2, or leave it out");
        }
        let is_named = |path: &PathBuf| !path.as_os_str().is_empty();
        Ok(match (&self.file, &self.bundle, self.device) {
            (Some(path), None, None) if is_named(path) => Content::Image {
                path: path.clone(),
                partition: self.partition,
            },
            (None, Some(path), None) if is_named(path) => Content::Packed {
                path: path.clone(),
                changes: self.changes.unwrap_or(DEFAULT_CHANGES),
            },
            (None, None, Some(device)) => Content::Host(match self.partition {
                None => Source::Device(device),
                Some(number) => Source::Partition { device, number },
            }),
            _ => bail!("a disk is one of FILE, bundle:FILE and device:N"),
        })
    }

    pub fn into_disk(self) -> Result<Disk> {
        Ok(Disk {
            content: self.content()?,
            format: self.format.map(|name| match name {
                FormatName::Raw => Format::Raw,
                FormatName::Qcow2 => Format::Qcow2 {
                    others: self.backing == Some(Backing::Allow),
                },
            }),
            read_only: self.readonly,
            serial: self.serial,
        })
    }

    /// Makes its path relative to this directory.
    pub fn in_directory(&mut self, directory: &Path) {
        for path in [&mut self.file, &mut self.bundle].into_iter().flatten() {
            *path = directory.join(&*path);
        }
    }
}

impl FromStr for NetTable {
    type Err = String;

    /// `switch`, `user` or nothing, and options.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut net = Self::default();
        for option in options(text) {
            let (key, value) = option.split_once('=').unwrap_or((&option, ""));
            match (key, value) {
                ("switch", "") => {}
                ("user" | "uplink", "") => net.uplink = true,
                ("mac", _) => {
                    net.mac = Some(value.parse().map_err(|error| format!("{error}"))?);
                }
                ("hostfwd", _) if !value.is_empty() => net.hostfwd.push(value.into()),
                _ => {
                    return Err(format!(
                        "\"{option}\" is nothing of a network interface: switch, user, uplink, mac=ADDRESS \
                         and hostfwd=RULE are; for a network other than QEMU's write --net uplink --uplink BACKEND"
                    ));
                }
            }
        }
        net.uplink |= !net.hostfwd.is_empty();
        Ok(net)
    }
}

impl NetTable {
    /// The interface, and the ports that are forwarded.
    pub fn into_net(self) -> (Net, Vec<String>) {
        let uplink = self.uplink || !self.hostfwd.is_empty();
        let mac = self.mac;
        (Net { mac, uplink }, self.hostfwd)
    }
}

/// The far end of the host's network device: `backend` with the ports that are forwarded.
pub fn uplink(backend: &str, hostfwd: &[String]) -> Result<String> {
    if hostfwd.is_empty() {
        return Ok(backend.to_owned());
    }
    let kind = backend.split(',').next();
    if kind != Some("user") {
        bail!("hostfwd is of QEMU's user network, and --uplink is another: leave one of them out");
    }
    let rules = hostfwd.iter().map(|rule| format!(",hostfwd={rule}"));
    Ok(rules.fold(backend.to_owned(), |line, rule| line + &rule))
}

/// The parts of a list between commas. Two commas are one that separates nothing.
fn options(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if character != ',' || rest.next_if_eq(&',').is_some() {
            parts
                .last_mut()
                .expect("there is always one")
                .push(character);
        } else {
            parts.push(String::new());
        }
    }
    parts
}

fn number(text: &str) -> Result<u32, String> {
    let parsed = text
        .parse()
        .with_context(|| format!("\"{text}\" is no number"));
    parsed.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(text: &str) -> Result<Disk, String> {
        let table: DiskTable = text.parse()?;
        table.into_disk().map_err(|error| error.to_string())
    }

    fn image(path: &str, partition: Option<u32>) -> Content {
        Content::Image {
            path: path.into(),
            partition,
        }
    }

    #[test]
    fn a_disk_is_an_image_a_packed_file_or_one_of_the_host() {
        let plain = |text, content| assert_eq!(disk(text), Ok(Disk::new(content)), "{text}");
        plain("a.img", image("a.img", None));
        plain("file=a.img", image("a.img", None));
        plain("a,,b.img,readonly=off", image("a,b.img", None));
        plain("a.img,partition=3", image("a.img", Some(3)));
        plain("device:2", Content::Host(Source::Device(2)));
        let partition = Source::Partition {
            device: 0,
            number: 4,
        };
        plain("device:0/4", Content::Host(partition));
        let packed = |changes| Content::Packed {
            path: "a.img".into(),
            changes,
        };
        plain("bundle:a.img", packed(64 << 20));
        plain("bundle:a.img,changes=1M", packed(1 << 20));
        let format = |text| disk(text).unwrap().format;
        assert_eq!(format("a.img,format=raw"), Some(Format::Raw));
        let qcow2 = |others| Some(Format::Qcow2 { others });
        assert_eq!(format("file=a,format=qcow2,if=virtio"), qcow2(false));
        assert_eq!(format("a,format=qcow2,backing=allow"), qcow2(true));
        let both = disk("a.img,readonly,serial=data").unwrap();
        assert!(both.read_only && both.serial == "data");
    }

    #[test]
    fn mistakes_in_a_disk_are_named() {
        let message = |text| disk(text).unwrap_err();
        assert!(message("a.img,readnoly").contains("readnoly"));
        assert!(message("a.img,partition=x").contains("\"x\""));
        assert!(message("a.img,partition=0").contains("from 1"));
        assert!(message("a.img,changes=1M").contains("bundle:FILE"));
        assert!(message("bundle:a.img,partition=1").contains("whole"));
        assert!(message("a.img,backing=allow").contains("format=qcow2"));
        assert!(message("a.img,format=vmdk").contains("qemu-img convert -f vmdk"));
        assert!(message("bundle:a.img,format=qcow2").contains("-O raw"));
        assert!(message("device:0,format=raw").contains("leave it out"));
        let drive = "id=d0,file=a.img,format=raw,if=none,cache=none";
        assert!(message(drive).contains("\"id=d0,if=none,cache=none\""));
        assert!(message("device:one").contains("\"one\""));
        assert!(message("").contains("one of FILE"));
        assert!(message("bundle:").contains("one of FILE"));
    }

    #[test]
    fn an_interface_is_on_the_switch_and_may_reach_the_uplink() {
        let net = |text: &str| text.parse::<NetTable>().map(NetTable::into_net);
        let mac: Mac = "52:54:00:12:34:56".parse().unwrap();
        let expect = |text, mac, uplink, hostfwd: &[&str]| {
            let hostfwd = hostfwd.iter().map(|&rule| rule.to_owned()).collect();
            assert_eq!(net(text), Ok((Net { mac, uplink }, hostfwd)), "{text}");
        };
        expect("switch", None, false, &[]);
        expect("user", None, true, &[]);
        expect("mac=52:54:00:12:34:56", Some(mac), false, &[]);
        expect("mac=52:54:00:12:34:56,uplink", Some(mac), true, &[]);
        let rule = "tcp::2222-:22";
        expect("user,hostfwd=tcp::2222-:22", None, true, &[rule]);
        expect("hostfwd=tcp::2222-:22", None, true, &[rule]);
        assert!(net("mac=53:54:00:12:34:56").unwrap_err().contains("even"));
        assert!(net("tap").unwrap_err().contains("\"tap\""));
    }

    #[test]
    fn forwarded_ports_are_of_the_user_network() {
        let rules = ["tcp::2222-:22".to_owned(), "tcp::8080-:80".to_owned()];
        assert_eq!(
            uplink("user", &rules).unwrap(),
            "user,hostfwd=tcp::2222-:22,hostfwd=tcp::8080-:80"
        );
        assert_eq!(uplink("tap,ifname=t", &[]).unwrap(), "tap,ifname=t");
        assert!(uplink("tap", &rules).is_err());
    }
}

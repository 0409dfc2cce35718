//! Bundles: what was packed comes back, and each defect has its own line.

use bundle::{Console, Description, Error, Mode, Sum, Vm, asked_window, fresh, open, pack};
use proptest::prelude::*;

fn vm() -> Vm {
    Vm {
        name: "debian".into(),
        kernel: "Image".into(),
        initrd: Some("initrd.img".into()),
        append: "console=ttyS0 \"quoted\"".into(),
        mode: Mode::BreakFrame,
        sum: Sum::Strict,
        window: Some(0xffff_ffd0_0000_0000),
        statistics: true,
        weight: 300,
        cap: Some(150),
        pin: vec![1, 0],
        ..Vm::default()
    }
}

fn packed() -> Vec<u8> {
    pack(
        &Description::of(vm()),
        &[("Image", &[7; 1000]), ("initrd.img", b"")],
    )
    .unwrap()
}

#[test]
fn what_was_packed_comes_back() {
    let bytes = packed();
    let bundle = open(&bytes).unwrap();
    assert_eq!(bundle.description(), &Description::of(vm()));
    assert_eq!(bundle.file("Image"), Some(&[7; 1000][..]));
    assert_eq!(bundle.file("initrd.img"), Some(&[][..]));
    assert_eq!(bundle.file("Imag"), None);
    assert_eq!(bundle.size(), bytes.len());
    assert_eq!(
        bundle.names().collect::<Vec<_>>(),
        ["description.json", "Image", "initrd.img"]
    );
}

#[test]
fn the_window_is_read_before_anything_is_checked() {
    let bytes = packed();
    assert_eq!(asked_window(&bytes), vm().window);
    let none = Description::of(Vm {
        window: None,
        ..vm()
    });
    let none = pack(&none, &[("Image", b"i"), ("initrd.img", b"")]).unwrap();
    assert_eq!(asked_window(&none), None);
    // Whatever is there, it reads no further than that and has no fault.
    for length in 0..bytes.len() {
        let window = asked_window(&bytes[..length]);
        assert!(window.is_none() || window == vm().window);
    }
    for place in 0..3000.min(bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x81;
        let _ = asked_window(&damaged);
    }
}

#[test]
fn bytes_after_the_end_are_left_alone() {
    let mut bytes = packed();
    let size = bytes.len();
    bytes.extend([0xa5; 4096]);
    assert_eq!(open(&bytes).unwrap().size(), size);
}

#[test]
fn every_shorter_length_is_refused_with_its_size() {
    let bytes = packed();
    for length in 0..bytes.len() {
        let error = open(&bytes[..length]).unwrap_err();
        match length {
            0 => assert_eq!(error, Error::Empty),
            1..1024 => assert!(matches!(error, Error::NotABundle { .. }), "{error}"),
            _ => assert_eq!(
                error,
                Error::CutShort {
                    have: length as u64,
                    need: bytes.len() as u64
                }
            ),
        }
    }
}

#[test]
fn every_flipped_bit_after_the_seal_is_found() {
    let bytes = packed();
    for at in 1024..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(matches!(open(&bytes), Err(Error::Damaged(_))), "byte {at}");
    }
}

#[test]
fn another_format_is_named() {
    let mut bytes = packed();
    bytes[512 + 8] = 9;
    let error = open(&bytes).unwrap_err();
    assert_eq!(error, Error::UnknownFormat { found: 9 });
    assert!(error.to_string().contains("format 9"));
}

#[test]
fn other_files_are_named() {
    let line = |bytes: &[u8]| open(bytes).unwrap_err().to_string();
    assert!(line(b"\x1f\x8b\x08rest").contains("a gzip file"));
    assert!(line(b"070701000").contains("a cpio archive"));
    assert!(line(&[0; 2048]).contains("nothing but zeroes"));
    assert!(line(b"kernel = 1\n").contains("a text file"));
}

#[test]
fn a_missing_file_is_named_when_packing_and_when_opening() {
    let error = pack(&Description::of(vm()), &[("Image", b"")]).unwrap_err();
    let line = "VM \"debian\" needs the file \"initrd.img\"";
    assert!(error.to_string().starts_with(line), "{error}");
}

#[test]
fn wrong_fields_are_named() {
    let wrong = |change: fn(&mut Vm)| {
        let mut vm = vm();
        change(&mut vm);
        Description::of(vm).check().unwrap_err().to_string()
    };
    assert!(wrong(|vm| vm.memory = 3 << 20).contains("memory must be"));
    assert!(wrong(|vm| vm.vcpus = 0).contains("vcpus must be"));
    assert!(wrong(|vm| vm.vcpus = 9).contains("vcpus must be"));
    assert!(wrong(|vm| vm.vcpus = 2).contains("the third view is for one hart"));
    assert!(wrong(|vm| vm.weight = 0).contains("weight must be"));
    assert!(wrong(|vm| vm.weight = 10_001).contains("weight must be"));
    assert!(wrong(|vm| vm.cap = Some(0)).contains("cap must be"));
    assert!(wrong(|vm| vm.cap = Some(6_401)).contains("cap must be"));
    assert!(wrong(|vm| vm.shadow_pool = 1).contains("shadow_pool must be"));
    assert!(wrong(|vm| vm.routine_cache = 0).contains("routine_cache must be"));
    assert!(wrong(|vm| vm.values = 65_537).contains("values must be"));
    assert!(wrong(|vm| vm.window = Some(4096)).contains("window must be"));
    assert!(wrong(|vm| vm.name = "a\nb".into()).contains("name must be"));
}

#[test]
fn several_vms_come_back_in_their_order_with_their_console() {
    let named = |name: &str| Vm {
        name: name.into(),
        vcpus: 8,
        ..Vm::default()
    };
    let description = Description {
        console: Console::Prefixed,
        vms: vec![named("b"), named("a")],
        ..Description::of(vm())
    };
    let bytes = pack(&description, &[("kernel", b"")]).unwrap();
    assert_eq!(open(&bytes).unwrap().description(), &description);
}

#[test]
fn a_description_names_only_what_differs_from_the_defaults() {
    let description: Description = serde_json::from_str(r#"{"format":3,"vms":[{}]}"#).unwrap();
    assert_eq!(description, Description::of(Vm::default()));
    let vm = &description.vms[0];
    assert_eq!((vm.weight, vm.cap, vm.vcpus), (100, None, 1));
}

#[test]
fn more_vms_than_sixteen_are_refused() {
    let description = |count| Description {
        vms: (0..count)
            .map(|n| Vm {
                name: format!("vm{n}"),
                ..Vm::default()
            })
            .collect(),
        ..Description::of(vm())
    };
    assert_eq!(description(16).check(), Ok(()));
    let error = description(17).check().unwrap_err().to_string();
    assert!(error.contains("17 VMs"), "{error}");
}

#[test]
fn a_prefixed_console_needs_names_whose_end_can_be_told() {
    for name in ["a b", "a|", "a/b", "a\u{a0}b", "patchvisor: a"] {
        let mut description = Description::of(Vm {
            name: name.into(),
            ..Vm::default()
        });
        assert_eq!(description.check(), Ok(()), "{name}");
        description.console = Console::Prefixed;
        let error = description.check().unwrap_err().to_string();
        assert!(error.contains("name must be free of"), "{error}");
    }
}

#[test]
fn names_that_a_tar_header_cannot_hold_are_refused() {
    let long = "n".repeat(100);
    for name in ["", "a/b", "a b", "description.json", &long] {
        let files = [("Image", &b""[..]), ("initrd.img", b""), (name, b"")];
        let error = pack(&Description::of(vm()), &files).unwrap_err();
        assert_eq!(error, Error::FileName(name.into()));
    }
    let twice = [("Image", &b""[..]), ("initrd.img", b""), ("Image", b"")];
    assert!(pack(&Description::of(vm()), &twice).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(open(&bytes).is_err());
    }

    /// The structure behind a checksum that agrees is arbitrary too.
    #[test]
    fn arbitrary_bytes_behind_a_good_seal_never_panic(
        changes in prop::collection::vec((1024usize..4096, any::<u8>()), 1..20)
    ) {
        let mut bytes = packed();
        for (at, value) in changes {
            let at = at.min(bytes.len() - 1);
            bytes[at] = value;
        }
        let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes[1024..]);
        bytes[524..528].copy_from_slice(&checksum.to_le_bytes());
        if let Ok(bundle) = open(&bytes) {
            prop_assert!(bundle.file(&bundle.description().vms[0].kernel).is_some());
        }
    }
}

#[test]
fn a_bundle_has_no_fresh_bytes_until_some_are_put_behind_it() {
    let mut bytes = packed();
    let size = bytes.len();
    assert_eq!(fresh::find(&bytes), None);
    fresh::append(&mut bytes, &[9; fresh::BYTES]);
    let place = fresh::find(&bytes).expect("the bytes behind it");
    assert_eq!(bytes[place], [9; fresh::BYTES]);
    assert_eq!(open(&bytes).unwrap().size(), size);
    // Firmware rounds up.
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    assert_eq!(fresh::find(&bytes), Some(size + 8..size + fresh::SIZE));
    assert_eq!(fresh::find(&bytes[..size + fresh::SIZE - 1]), None);
    bytes[size] = 0;
    assert_eq!(fresh::find(&bytes), None);
}

proptest! {
    #[test]
    fn whatever_lies_there_is_looked_at_within_its_bounds(mut bytes in prop::collection::vec(any::<u8>(), 0..2048), length in any::<u64>()) {
        if let Some(seal) = bytes.get_mut(512..536) {
            seal[..8].copy_from_slice(bundle::archive::MAGIC);
            seal[16..24].copy_from_slice(&length.to_le_bytes());
        }
        if let Some(place) = fresh::find(&bytes) {
            prop_assert!(place.end <= bytes.len());
        }
    }
}

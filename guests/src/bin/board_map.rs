//! The places of the board: which answer, at which widths, and what the virtio slots say of themselves. What is
//! somewhere is printed only where it is the same on every board of this kind.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::board::uart;
    use guests::virtio::{DEVICE_ID, Registers};
    use guests::{code, csr, memory, println};

    const RTC: u64 = 0x10_1000;
    const VIRTIO: u64 = 0x1000_1000;

    /// The first and last addresses that are looked at in each place, and whether stores do no harm.
    const PLACES: [(&str, &[u64], bool); 12] = [
        ("nothing below", &[0x0, 0xff8, 0x1_0000, 0x1_0001], true),
        ("test finisher", &[0x10_0000, 0x10_0008], false),
        ("clock", &[RTC, RTC + 0x20, RTC + 0x24, RTC + 0xff8], false),
        ("hole", &[0x10_2000], true),
        ("clint", &[0x200_0000, 0x200_4000, 0x200_bff8], true),
        ("pci ports", &[0x300_0000, 0x300_fff8, 0x301_0000], true),
        ("platform bus", &[0x400_0000, 0x5ff_fff8], true),
        ("plic", &[0xc00_0000, 0xc5f_fff8, 0xc60_0000], false),
        ("uart", &[uart::BASE + 8, uart::BASE + 0x100], true),
        (
            "virtio",
            &[
                VIRTIO + 0x1f8,
                VIRTIO + 0x200,
                VIRTIO + 0xff8,
                VIRTIO + 0x8000,
            ],
            true,
        ),
        (
            "flash",
            &[
                0x2000_0000,
                0x21ff_fff8,
                0x2200_0000,
                0x23ff_fff8,
                0x2400_0000,
            ],
            true,
        ),
        ("pci configuration", &[0x3000_0008, 0x3fff_fff8], true),
    ];

    fn main() {
        let loads = [
            code!("lbu a2, 0(a1)"),
            code!("lhu a2, 0(a1)"),
            code!("lwu a2, 0(a1)"),
            code!("ld a2, 0(a1)"),
        ];
        let stores = [
            code!("sb zero, 0(a1)"),
            code!("sh zero, 0(a1)"),
            code!("sw zero, 0(a1)"),
            code!("sd zero, 0(a1)"),
        ];
        for (name, addresses, storable) in PLACES {
            for &at in addresses {
                let causes = |snippets: &[guests::code::Snippet; 4]| {
                    let mut causes = [0; 4];
                    for (cause, snippet) in causes.iter_mut().zip(snippets) {
                        *cause = snippet.supervisor().with(11, at).run().cause;
                    }
                    causes
                };
                let loaded = causes(&loads);
                let stored = if storable { causes(&stores) } else { [0; 4] };
                println!("{name} {at:#x}: loads {loaded:?}, stores {stored:?}");
            }
        }
        for slot in 0..8 {
            let slot = Registers::of_slot(slot);
            slot.write(0x70, 0xff);
            let [magic, version, device, vendor, status] =
                [0, 4, DEVICE_ID, 12, 0x70].map(|register| slot.read(register));
            println!("slot {magic:#x} {version} {device} {vendor:#x} {status}");
            let narrow: [u16; 3] = [0, 2, 12].map(|at| memory::read(slot.0 + at));
            let wide: [u64; 2] = [0, 8].map(|at| memory::read(slot.0 + at));
            println!("  narrow {narrow:x?}, wide {wide:x?}");
        }
        let ports: [u64; 2] = [0x300_0000, 0x300_fff8].map(memory::read);
        let beyond: [u32; 2] = [0x3000_8000, 0x3fff_f000].map(memory::read);
        println!("ports {ports:x?}, functions that are not there {beyond:x?}");
        let flash: [u64; 4] =
            [0x2000_0000, 0x21ff_fff8, 0x2200_0000, 0x23ff_fff8].map(memory::read);
        println!("flash {flash:x?}");
        clock();
    }

    /// Eight bytes of the clock are two of its registers.
    fn clock() {
        let both = |at: u64| memory::read::<u64>(RTC + at);
        memory::write(RTC + 0x0c, 0x1234u32);
        memory::write(RTC + 0x14, 1u32);
        let alarm = both(0x0c);
        println!("alarm's high half and interrupts {alarm:#x}");
        let (first, second) = (both(0), both(0));
        let next: u32 = memory::read(RTC);
        let is_near = second >= first && second - first < 60_000_000_000;
        let is_same = next.wrapping_sub(second as u32) < u32::MAX / 2;
        println!("time goes on {is_near}, by halves too {is_same}");
        csr::write!("sie", 0u64);
    }

    guests::program!(main);
}

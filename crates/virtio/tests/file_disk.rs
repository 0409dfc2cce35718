//! A file as a disk, against a vector of bytes.

use std::collections::BTreeSet;

use isa::address::GuestPhys;
use proptest::prelude::*;
use virtio::file_disk::{FileDisk, GRANULE, Granule, granules};
use virtio::{Disk, Memory, Operation, Request, Segment, Status, Submitted};

const RAM: GuestPhys = GuestPhys(0x8000_0000);

struct Ram(Vec<u8>);

impl Ram {
    fn index(&self, at: GuestPhys, size: usize) -> Option<usize> {
        let index = at.0.checked_sub(RAM.0)? as usize;
        (index + size <= self.0.len()).then_some(index)
    }
}

impl Memory for Ram {
    fn contains(&self, at: GuestPhys, size: u64) -> bool {
        self.index(at, size as usize).is_some()
    }

    fn read(&self, at: GuestPhys, buffer: &mut [u8]) -> bool {
        let index = self.index(at, buffer.len());
        index
            .map(|index| buffer.copy_from_slice(&self.0[index..][..buffer.len()]))
            .is_some()
    }

    fn write(&mut self, at: GuestPhys, bytes: &[u8]) -> bool {
        let index = self.index(at, bytes.len());
        index
            .map(|index| self.0[index..][..bytes.len()].copy_from_slice(bytes))
            .is_some()
    }

    fn load_u16(&self, _: GuestPhys) -> Option<u16> {
        panic!("a disk has no use for it")
    }

    fn store_u16(&mut self, _: GuestPhys, _: u16) -> bool {
        panic!("a disk has no use for it")
    }

    fn fence(&self) {}

    fn written(&mut self, _: GuestPhys, _: u64) {
        panic!("a disk that copies tells nobody")
    }
}

type Store = Box<[Granule]>;

fn file(size: usize) -> &'static [u8] {
    let bytes: Vec<u8> = (0..size).map(|at| (at * 7 + at / 256 + 1) as u8).collect();
    bytes.leak()
}

fn disk(file: &'static [u8], slots: usize) -> FileDisk<Store> {
    FileDisk::new(file, false, vec![[0x55; GRANULE]; slots].into())
}

fn ask(
    disk: &mut FileDisk<Store>,
    operation: Operation,
    sector: u64,
    ram: &mut Ram,
    parts: &[(usize, usize)],
) -> Status {
    let segments = parts.iter().map(|&(at, size)| Segment {
        at: RAM.add(at as u64),
        size: size as u32,
    });
    let request = Request {
        token: 0,
        operation,
        sector,
        segments: segments.collect(),
    };
    match disk.submit(request, ram) {
        Submitted::Ended(status) => status,
        other => panic!("{other:?}"),
    }
}

fn contents(disk: &mut FileDisk<Store>) -> Vec<u8> {
    let size = disk.sectors() as usize * 512;
    let mut ram = Ram(vec![0xaa; size]);
    assert_eq!(
        ask(disk, Operation::Read, 0, &mut ram, &[(0, size)]),
        Status::Done
    );
    ram.0
}

#[test]
fn a_file_ends_with_zeroes_up_to_a_whole_sector() {
    for size in [1, 511, 512, 513, 4096, 4097, 10_000] {
        let file = file(size);
        let mut expected = file.to_vec();
        expected.resize(size.next_multiple_of(512), 0);
        assert_eq!(contents(&mut disk(file, 0)), expected);
    }
}

#[test]
fn a_write_beyond_the_limit_fails_and_changes_nothing() {
    let mut disk = disk(file(4 * GRANULE), 1);
    let before = contents(&mut disk);
    let mut ram = Ram(vec![9; GRANULE]);
    // One sector in each of two granules.
    assert_eq!(
        ask(&mut disk, Operation::Write, 7, &mut ram, &[(0, 1024)]),
        Status::Failed
    );
    assert_eq!(contents(&mut disk), before);
    assert_eq!(
        ask(&mut disk, Operation::Write, 8, &mut ram, &[(0, 1024)]),
        Status::Done
    );
    assert_eq!(
        ask(&mut disk, Operation::Write, 9, &mut ram, &[(0, 1024)]),
        Status::Done
    );
    assert_eq!(
        ask(&mut disk, Operation::Write, 16, &mut ram, &[(0, 512)]),
        Status::Failed
    );
}

#[test]
fn a_discard_of_a_whole_granule_makes_room() {
    let mut disk = disk(file(4 * GRANULE), 1);
    let mut ram = Ram(vec![9; GRANULE]);
    assert_eq!(
        ask(&mut disk, Operation::Write, 8, &mut ram, &[(0, 512)]),
        Status::Done
    );
    let discard = |sectors| Operation::Discard { sectors };
    assert_eq!(ask(&mut disk, discard(7), 8, &mut ram, &[]), Status::Done);
    assert_eq!(disk.changed(), 1);
    assert_eq!(ask(&mut disk, discard(8), 8, &mut ram, &[]), Status::Done);
    assert_eq!(disk.changed(), 0);
    assert_eq!(
        ask(&mut disk, Operation::Write, 0, &mut ram, &[(0, 512)]),
        Status::Done
    );
}

#[test]
fn whole_granules_of_zeroes_take_no_room() {
    let mut disk = disk(file(4 * GRANULE), 0);
    let mut ram = Ram(vec![]);
    let zeroes = |sectors| Operation::WriteZeroes {
        sectors,
        unmap: false,
    };
    assert_eq!(ask(&mut disk, zeroes(16), 8, &mut ram, &[]), Status::Done);
    assert_eq!(contents(&mut disk)[GRANULE..3 * GRANULE], [0; 2 * GRANULE]);
    assert_eq!(ask(&mut disk, zeroes(1), 12, &mut ram, &[]), Status::Done);
    assert_eq!(ask(&mut disk, zeroes(1), 0, &mut ram, &[]), Status::Failed);
}

#[test]
fn a_disk_that_is_read_only_refuses_every_change() {
    let file = file(GRANULE);
    let mut disk: FileDisk<Store> = FileDisk::new(file, true, vec![[0; GRANULE]; 1].into());
    let mut ram = Ram(vec![9; GRANULE]);
    for operation in [
        Operation::Write,
        Operation::Discard { sectors: 1 },
        Operation::WriteZeroes {
            sectors: 1,
            unmap: true,
        },
    ] {
        assert_eq!(
            ask(&mut disk, operation, 0, &mut ram, &[(0, 512)]),
            Status::Failed
        );
    }
    assert_eq!(
        ask(&mut disk, Operation::Flush, 0, &mut ram, &[]),
        Status::Done
    );
    assert_eq!(contents(&mut disk), file);
}

#[test]
fn what_is_not_on_the_disk_or_not_ram_fails() {
    let mut disk = disk(file(GRANULE), 1);
    let mut ram = Ram(vec![9; GRANULE]);
    for operation in [Operation::Read, Operation::Write] {
        for (sector, at) in [(8, 0), (7, 0), (u64::MAX, 0), (1 << 55, 0), (0, GRANULE)] {
            assert_eq!(
                ask(&mut disk, operation, sector, &mut ram, &[(at, 1024)]),
                Status::Failed
            );
        }
    }
    let many = Operation::Discard { sectors: u64::MAX };
    assert_eq!(ask(&mut disk, many, 1, &mut ram, &[]), Status::Failed);
}

#[test]
fn the_store_is_no_longer_than_the_file() {
    assert_eq!(granules(10_000, 1 << 30), 3);
    assert_eq!(granules(1 << 30, 10_000), 3);
    assert_eq!(granules(1 << 30, 0), 0);
}

const SECTORS: usize = 50;

fn operations() -> impl Strategy<Value = (u8, usize, usize, usize)> {
    // What, first sector, sectors, where the second segment begins.
    (0_u8..5, 0..SECTORS, 1_usize..20, 0_usize..10_240)
}

proptest! {
    #[test]
    fn it_is_as_a_vector_with_a_limit(
        steps in prop::collection::vec(operations(), 1..60),
        slots in 0_usize..8,
        seed: u8,
    ) {
        let file = file(SECTORS * 512 - 100);
        let mut disk = disk(file, slots);
        let mut original = file.to_vec();
        original.resize(SECTORS * 512, 0);
        let mut model = original.clone();
        let (mut stored, mut zeroed) = (BTreeSet::new(), BTreeSet::new());
        let mut ram = Ram((0..20_480).map(|at: usize| (at as u8).wrapping_mul(13) ^ seed).collect());
        for (what, first, sectors, cut) in steps {
            let sectors = sectors.min(SECTORS - first);
            let (from, to) = (first * 512, (first + sectors) * 512);
            let cut = cut.min(to - from);
            let parts = [(10_240, cut), (0, to - from - cut)];
            let touched: Vec<usize> = (from / GRANULE..to.div_ceil(GRANULE)).collect();
            let whole = |granule: &usize| from <= granule * GRANULE && (granule + 1) * GRANULE <= to;
            let fits = |stored: &BTreeSet<usize>, fresh: &[usize]| {
                stored.len() + fresh.iter().filter(|it| !stored.contains(it)).count() <= slots
            };
            let operation = [
                Operation::Read,
                Operation::Write,
                Operation::Flush,
                Operation::Discard { sectors: sectors as u64 },
                Operation::WriteZeroes { sectors: sectors as u64, unmap: false },
            ][usize::from(what)];
            let status = ask(&mut disk, operation, first as u64, &mut ram, &parts);
            let expected = match operation {
                Operation::Read => {
                    let read: Vec<u8> = parts.iter().flat_map(|&(at, size)| ram.0[at..at + size].to_vec()).collect();
                    prop_assert_eq!(&read[..], &model[from..to]);
                    true
                }
                Operation::Flush => true,
                Operation::Write => {
                    let well = fits(&stored, &touched);
                    if well {
                        let bytes = parts.iter().flat_map(|&(at, size)| ram.0[at..at + size].to_vec());
                        model.splice(from..to, bytes);
                        stored.extend(&touched);
                        zeroed.retain(|granule| !touched.contains(granule));
                    }
                    well
                }
                Operation::Discard { .. } => {
                    for granule in touched.into_iter().filter(whole) {
                        let bytes = granule * GRANULE..(granule + 1) * GRANULE;
                        model[bytes.clone()].copy_from_slice(&original[bytes]);
                        stored.remove(&granule);
                        zeroed.remove(&granule);
                    }
                    true
                }
                Operation::WriteZeroes { .. } => {
                    let (full, part): (Vec<usize>, Vec<usize>) = touched.iter().partition(|it| whole(it));
                    let part: Vec<usize> = part.into_iter().filter(|it| !zeroed.contains(it)).collect();
                    let well = fits(&stored, &part);
                    if well {
                        model[from..to].fill(0);
                        stored.extend(part);
                        stored.retain(|granule| !full.contains(granule));
                        zeroed.extend(full);
                    }
                    well
                }
            };
            prop_assert_eq!(status == Status::Done, expected);
            prop_assert_eq!(disk.changed(), stored.len());
        }
        prop_assert_eq!(contents(&mut disk), model);
        disk.reset();
        prop_assert_eq!((contents(&mut disk), disk.changed()), (original, 0));
    }
}

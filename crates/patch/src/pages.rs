//! Patched copies of guest frames.
//!
//! A frame that holds patches has a copy; the VS view executes the copy and nothing else ever
//! sees it. The original stays as the guest wrote it, write-protected: a write drops the copy.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use isa::address::{GuestPhys, GuestVirt, HostPhys, PAGE_SHIFT};

/// A write to a page of patches costs a trap and its patches; a page that is written again and
/// again must therefore earn each new copy with twice as many executed privileged instructions as
/// the last one, up to `1 << MAX_BACKOFF`.
const MAX_BACKOFF: u32 = 14;

/// Emulated data reads after which a copy is given up: the page is more data than code.
const MAX_READS: u32 = 512;

/// Mappings of a copy that are remembered one by one. A kernel has one or two.
const MOST_MAPPINGS: usize = 32;

/// Where a copy may be mapped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Mappings {
    /// At these pages, in some VS views.
    At(Vec<GuestVirt>),
    /// At more pages than are remembered.
    TooMany,
}

/// A patch within a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Site {
    /// Byte offset in the frame.
    pub offset: u16,
    /// The value in the patch.
    pub value: u16,
}

/// What is known of a frame that has, or had, patches.
#[derive(Debug, Default)]
struct Page {
    copy: Option<HostPhys>,
    sites: Vec<Site>,
    /// Where VS views map the copy.
    mappings: Vec<GuestVirt>,
    /// Copies dropped so far.
    drops: u32,
    /// Privileged instructions that trapped since the last drop.
    traps: u32,
    /// Data reads emulated since the copy was made.
    reads: u32,
    /// A load or store in it was patched that does not always access a device.
    mixed: bool,
}

/// Frames of a region: what a superpage of 2 MiB maps, so that the questions asked of superpages
/// are answered without looking at each frame.
const REGION: usize = 512;

/// One bit for each frame of a region.
#[derive(Clone, Copy, Debug, Default)]
struct Bits([u64; REGION / 64]);

impl Bits {
    fn contains(&self, frame: usize) -> bool {
        self.0[frame / 64] & 1 << (frame % 64) != 0
    }

    fn insert(&mut self, frame: usize) {
        self.0[frame / 64] |= 1 << (frame % 64);
    }

    fn count(&self) -> u16 {
        self.0.iter().map(|word| word.count_ones() as u16).sum()
    }

    fn remove(&mut self, frame: usize) {
        self.0[frame / 64] &= !(1 << (frame % 64));
    }
}

/// The frames of a region.
#[derive(Clone, Copy, Debug, Default)]
struct Region {
    /// Frames that have a copy.
    patched: Bits,
    /// Frames that have none, and that VS may execute as they are once they were looked at.
    seen: Bits,
    /// Frames that VS may execute and write at once, whatever they hold.
    open: Bits,
    /// How many of the three kinds there are; a frame that is of two counts twice.
    special: u16,
    /// Frames that may be mapped writable somewhere.
    writable: Bits,
}

/// The frames of one virtual machine.
pub struct Pages {
    base: GuestPhys,
    regions: Vec<Region>,
    pages: BTreeMap<u64, Page>,
    /// Pages that are remembered at the most: a guest must not fill the monitor's memory with the
    /// history of its own.
    most_pages: usize,
    copies: usize,
    sites: usize,
}

impl Pages {
    /// Knows `size` bytes of RAM from `base`, of which `most_copies` frames at the most have a copy
    /// at any time.
    pub fn new(base: GuestPhys, size: u64, most_copies: usize) -> Self {
        let regions = vec![Region::default(); ((size >> PAGE_SHIFT) as usize).div_ceil(REGION)];
        Self {
            base,
            regions,
            pages: BTreeMap::new(),
            most_pages: 2 * most_copies + 64,
            copies: 0,
            sites: 0,
        }
    }

    /// The region of a frame, and its number in the region.
    fn index(&self, frame: GuestPhys) -> (usize, usize) {
        let frame = (frame.0.wrapping_sub(self.base.0) >> PAGE_SHIFT) as usize;
        (frame / REGION, frame % REGION)
    }

    /// The first frame of a range and the one behind the last, counted from the start of RAM.
    fn frames(&self, start: GuestPhys, size: u64) -> core::ops::Range<usize> {
        let first = (start.0 - self.base.0) >> PAGE_SHIFT;
        let last = (start.0 + size.max(1) - 1 - self.base.0) >> PAGE_SHIFT;
        first as usize..last as usize + 1
    }

    /// The patched copy of the frame that holds `address`; none where there is no RAM.
    pub fn copy(&self, address: GuestPhys) -> Option<HostPhys> {
        let (region, frame) = self.index(address);
        if !self.regions.get(region)?.patched.contains(frame) {
            return None;
        }
        self.pages.get(&address.frame_number())?.copy
    }

    /// Whether no frame in the range has a copy or [was looked at](Self::is_seen).
    pub fn unpatched(&self, start: GuestPhys, size: u64) -> bool {
        let mut frames = self.frames(start, size);
        while !frames.is_empty() {
            let (region, frame) = (frames.start / REGION, frames.start % REGION);
            let whole = frame == 0 && frames.len() >= REGION;
            let region = &self.regions[region];
            let special = [&region.patched, &region.seen, &region.open]
                .iter()
                .any(|bits| bits.contains(frame));
            if whole && region.special != 0 || !whole && special {
                return false;
            }
            frames.start += if whole || region.special == 0 {
                REGION - frame
            } else {
                1
            };
        }
        true
    }

    /// Notes that the guest can now write to the range without the monitor's knowledge.
    pub fn set_writable(&mut self, start: GuestPhys, size: u64) {
        let mut frames = self.frames(start, size);
        while !frames.is_empty() {
            let (region, frame) = (frames.start / REGION, frames.start % REGION);
            let writable = &mut self.regions[region].writable;
            if frame == 0 && frames.len() >= REGION {
                writable.0.fill(u64::MAX);
                frames.start += REGION;
            } else {
                writable.insert(frame);
                frames.start += 1;
            }
        }
    }

    /// Whether the frame may be mapped writable somewhere.
    pub fn is_writable(&self, address: GuestPhys) -> bool {
        let (region, frame) = self.index(address);
        self.regions[region].writable.contains(frame)
    }

    /// Notes that nothing is mapped writable any more.
    pub fn clear_writable(&mut self) {
        for region in &mut self.regions {
            region.writable = Bits::default();
        }
    }

    /// What is known of the frame that holds `address`.
    fn page(&mut self, address: GuestPhys) -> &mut Page {
        if self.pages.len() >= self.most_pages {
            self.pages.retain(|_, page| page.copy.is_some());
        }
        self.pages.entry(address.frame_number()).or_default()
    }

    fn set_patched(&mut self, address: GuestPhys, patched: bool) {
        let (region, frame) = self.index(address);
        let region = &mut self.regions[region];
        if patched {
            region.patched.insert(frame);
            region.special += 1;
        } else {
            region.patched.remove(frame);
            region.special -= 1;
        }
    }

    /// Whether the frame has no copy, was looked at before VS executed it, and may not be written unseen.
    pub fn is_seen(&self, address: GuestPhys) -> bool {
        let (region, frame) = self.index(address);
        let region = self.regions.get(region);
        region.is_some_and(|region| region.seen.contains(frame))
    }

    /// Notes that, or the opposite. A frame that gets a copy must not be noted.
    pub fn set_seen(&mut self, address: GuestPhys, seen: bool) {
        if self.is_seen(address) == seen {
            return;
        }
        let (region, frame) = self.index(address);
        let region = &mut self.regions[region];
        if seen {
            region.seen.insert(frame);
            region.special += 1;
        } else {
            region.seen.remove(frame);
            region.special -= 1;
        }
    }

    /// Whether VS may execute and write the frame at once, though code is looked at before it is executed.
    pub fn is_open(&self, address: GuestPhys) -> bool {
        let (region, frame) = self.index(address);
        let region = self.regions.get(region);
        region.is_some_and(|region| region.open.contains(frame))
    }

    /// Lets VS do that from now on.
    pub fn open(&mut self, address: GuestPhys) {
        if !self.is_open(address) {
            let (region, frame) = self.index(address);
            self.regions[region].open.insert(frame);
            self.regions[region].special += 1;
        }
    }

    /// Lets the frame have its next copy at the first trap, however many it has had.
    pub fn forgive(&mut self, address: GuestPhys) {
        self.page(address).drops = 0;
    }

    /// Notes one privileged instruction that trapped in the frame, and tells whether the frame has
    /// earned a patch.
    pub fn earns_patch(&mut self, address: GuestPhys) -> bool {
        let page = self.page(address);
        if page.copy.is_some() || page.drops == 0 {
            return true;
        }
        page.traps += 1;
        page.traps >= 1 << page.drops.min(MAX_BACKOFF)
    }

    /// Notes that a load or store that was patched in the frame does not access a device: no others are
    /// patched there.
    pub fn set_mixed(&mut self, address: GuestPhys) {
        self.page(address).mixed = true;
    }

    /// Whether loads and stores stay as they are in the frame.
    pub fn is_mixed(&self, address: GuestPhys) -> bool {
        let page = self.pages.get(&address.frame_number());
        page.is_some_and(|page| page.mixed)
    }

    /// Gives the frame a copy.
    pub fn set_copy(&mut self, address: GuestPhys, copy: HostPhys) {
        self.set_seen(address, false);
        self.set_patched(address, true);
        let page = self.page(address);
        page.copy = Some(copy);
        page.reads = 0;
        self.copies += 1;
    }

    /// Enters a site in the frame's copy.
    pub fn add_site(&mut self, address: GuestPhys, value: u16) {
        let page = self.page(address);
        page.sites.push(Site {
            offset: address.offset() as u16,
            value,
        });
        self.sites += 1;
    }

    /// The value of the patch at `address`.
    pub fn site(&self, address: GuestPhys) -> Option<u16> {
        let sites = &self.pages.get(&address.frame_number())?.sites;
        sites
            .iter()
            .find(|site| u64::from(site.offset) == address.offset())
            .map(|site| site.value)
    }

    /// Notes an emulated data read of a frame with a copy; `true` when the copy should go.
    pub fn note_read(&mut self, address: GuestPhys) -> bool {
        let page = self.page(address);
        page.reads += 1;
        page.reads > MAX_READS
    }

    /// Notes that the frame's copy is mapped at the page of `mapping`.
    pub fn note_mapping(&mut self, address: GuestPhys, mapping: GuestVirt) {
        let page = self.page(address);
        if page.mappings.len() <= MOST_MAPPINGS && !page.mappings.contains(&mapping.page()) {
            page.mappings.push(mapping.page());
        }
    }

    /// Where the frame's copy may be mapped; it is about to be unmapped there.
    pub fn take_mappings(&mut self, address: GuestPhys) -> Mappings {
        let page = self.pages.get_mut(&address.frame_number());
        let mappings = page
            .map(|page| core::mem::take(&mut page.mappings))
            .unwrap_or_default();
        if mappings.len() > MOST_MAPPINGS {
            Mappings::TooMany
        } else {
            Mappings::At(mappings)
        }
    }

    /// Takes the frame's copy and its sites away.
    pub fn take(&mut self, address: GuestPhys) -> Option<(HostPhys, Vec<Site>)> {
        let page = self.pages.get_mut(&address.frame_number())?;
        let copy = page.copy.take()?;
        let sites = core::mem::take(&mut page.sites);
        page.drops += 1;
        page.traps = 0;
        self.copies -= 1;
        self.sites -= sites.len();
        self.set_patched(address, false);
        Some((copy, sites))
    }

    /// Takes all copies away, without holding it against their frames.
    pub fn take_all(&mut self, mut free: impl FnMut(HostPhys)) {
        for page in self.pages.values_mut() {
            if let Some(copy) = page.copy.take() {
                free(copy);
                // With what they take of the heap: the frame may never be patched again.
                page.sites = Vec::new();
                page.mappings = Vec::new();
            }
        }
        for region in &mut self.regions {
            (region.patched, region.seen) = (Bits::default(), Bits::default());
            region.special = region.open.count();
        }
        self.copies = 0;
        self.sites = 0;
    }

    /// Forgets everything, as after a reset of the machine.
    pub fn reset(&mut self, free: impl FnMut(HostPhys)) {
        for region in &mut self.regions {
            region.open = Bits::default();
        }
        self.take_all(free);
        self.pages.clear();
        self.clear_writable();
    }

    /// Copies alive.
    pub fn copies(&self) -> usize {
        self.copies
    }

    /// Patches in place.
    pub fn sites(&self) -> usize {
        self.sites
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: GuestPhys = GuestPhys(0x8000_0000);

    #[test]
    fn a_page_that_keeps_changing_must_earn_its_next_copy() {
        let mut pages = Pages::new(BASE, 1 << 20, 64);
        for drops in 0..5 {
            let mut traps = 1;
            while !pages.earns_patch(BASE) {
                traps += 1;
            }
            assert_eq!(traps, if drops == 0 { 1 } else { 1 << drops });
            pages.set_copy(BASE, HostPhys(0x1000));
            assert!(pages.take(BASE).is_some());
        }
    }

    #[test]
    fn taking_a_copy_takes_its_sites() {
        let mut pages = Pages::new(BASE, 1 << 20, 64);
        pages.set_copy(BASE, HostPhys(0x1000));
        pages.add_site(BASE.add(0x10), 7);
        assert_eq!(pages.site(BASE.add(0x10)), Some(7));
        assert_eq!(pages.site(BASE.add(0x12)), None);
        assert!(!pages.unpatched(BASE, 1 << 20));
        let (copy, sites) = pages.take(BASE.add(0x800)).unwrap();
        assert_eq!(
            (copy, sites),
            (
                HostPhys(0x1000),
                vec![Site {
                    offset: 0x10,
                    value: 7
                }]
            )
        );
        assert!(pages.unpatched(BASE, 1 << 20));
        assert_eq!(
            (pages.site(BASE.add(0x10)), pages.copies(), pages.sites()),
            (None, 0, 0)
        );
    }

    #[test]
    fn a_frame_that_was_looked_at_is_special_until_it_is_written_or_copied() {
        let mut pages = Pages::new(BASE, 4 << 20, 64);
        pages.set_seen(BASE.add(0x3000), true);
        pages.set_seen(BASE.add(0x3000), true);
        assert!(pages.is_seen(BASE.add(0x3ffe)) && !pages.is_seen(BASE.add(0x2000)));
        assert!(!pages.unpatched(BASE, 2 << 20) && pages.unpatched(BASE.add(2 << 20), 2 << 20));
        assert!(pages.unpatched(BASE, 0x3000) && !pages.unpatched(BASE, 0x4000));
        pages.set_seen(BASE.add(0x3000), false);
        assert!(pages.unpatched(BASE, 2 << 20));
        pages.set_seen(BASE, true);
        pages.set_copy(BASE, HostPhys(0x1000));
        assert!(!pages.is_seen(BASE) && pages.take(BASE).is_some());
        assert!(pages.unpatched(BASE, 2 << 20));
        pages.set_seen(BASE, true);
        pages.take_all(|_| ());
        assert!(pages.unpatched(BASE, 2 << 20));
        pages.open(BASE);
        pages.take_all(|_| ());
        assert!(pages.is_open(BASE.add(8)) && !pages.unpatched(BASE, 2 << 20));
        pages.reset(|_| ());
        assert!(!pages.is_open(BASE) && pages.unpatched(BASE, 2 << 20));
        // Where there is no RAM nothing was looked at.
        assert!(!pages.is_seen(BASE.add(8 << 20)));
    }

    #[test]
    fn writability_is_noted_for_every_frame_of_a_range() {
        let mut pages = Pages::new(BASE, 1 << 20, 64);
        pages.set_writable(BASE.add(0x2000), 0x2000);
        let writable = |pages: &Pages| {
            (0..6)
                .map(|n| pages.is_writable(BASE.add(n << 12)))
                .collect::<Vec<_>>()
        };
        assert_eq!(writable(&pages), [false, false, true, true, false, false]);
        pages.clear_writable();
        assert_eq!(writable(&pages), [false; 6]);
    }
}

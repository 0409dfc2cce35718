//! Bytes that lie in several pieces of the guest's memory: a driver may cut a message wherever it
//! likes (virtio 1.2, section 2.7.4).

use alloc::vec::Vec;

use crate::{Memory, Segment};

/// Bytes of all of them.
#[must_use]
pub fn total(segments: &[Segment]) -> u64 {
    let sizes = segments.iter().map(|segment| u64::from(segment.size));
    sizes.sum()
}

/// Reads the first bytes; how many there were, at most those of `buffer`.
#[must_use]
pub fn read(segments: &[Segment], buffer: &mut [u8], memory: &dyn Memory) -> usize {
    let mut done = 0;
    for segment in segments {
        let rest = &mut buffer[done..];
        let size = rest.len().min(segment.size as usize);
        if size == 0 || !memory.read(segment.at, &mut rest[..size]) {
            break;
        }
        done += size;
    }
    done
}

/// Writes the first bytes; how many there was room for, at most all of `bytes`.
pub fn write(segments: &[Segment], bytes: &[u8], memory: &mut dyn Memory) -> usize {
    let mut done = 0;
    for segment in segments {
        let rest = &bytes[done..];
        let size = rest.len().min(segment.size as usize);
        if size == 0 || !memory.write(segment.at, &rest[..size]) {
            break;
        }
        done += size;
    }
    done
}

/// Takes the first `bytes` away.
pub fn skip(segments: &mut Vec<Segment>, mut bytes: u32) {
    segments.retain_mut(|segment| {
        let gone = bytes.min(segment.size);
        bytes -= gone;
        segment.at = segment.at.add(gone.into());
        segment.size -= gone;
        segment.size != 0
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BASE, Ram};
    use alloc::vec;

    fn pieces() -> Vec<Segment> {
        [(0, 3), (100, 1), (50, 4)]
            .map(|(at, size)| Segment {
                at: BASE.add(at),
                size,
            })
            .to_vec()
    }

    #[test]
    fn bytes_are_read_and_written_across_pieces() {
        let mut ram = Ram::new(0x1000);
        assert_eq!(total(&pieces()), 8);
        assert_eq!(write(&pieces(), b"abcdef", &mut ram), 6);
        assert_eq!(ram.get(BASE), *b"abc");
        assert_eq!(ram.get(BASE.add(100)), *b"d");
        assert_eq!(ram.get(BASE.add(50)), *b"ef\0\0");
        let mut buffer = [1; 10];
        assert_eq!(read(&pieces(), &mut buffer, &ram), 8);
        assert_eq!(buffer, *b"abcdef\0\0\x01\x01");
    }

    #[test]
    fn what_is_skipped_may_end_inside_a_piece() {
        let mut segments = pieces();
        skip(&mut segments, 5);
        let rest = Segment {
            at: BASE.add(51),
            size: 3,
        };
        assert_eq!(segments, vec![rest]);
        skip(&mut segments, 9);
        assert_eq!(segments, vec![]);
    }
}

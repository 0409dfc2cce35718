//! Which harts a call is meant for ("Binary Encoding", "Hart list parameter").

use crate::call::Error;

/// A hart mask as a guest gives it: an allegation that may name harts which do not exist.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HartMask {
    mask: u64,
    base: u64,
}

impl HartMask {
    /// The base that stands for all harts, whatever the mask.
    const ALL: u64 = u64::MAX;

    /// Every hart of the VM.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            mask: 0,
            base: Self::ALL,
        }
    }

    /// Hart `base + n` for each bit n of `mask`; every hart when `base` is -1.
    #[must_use]
    pub const fn new(mask: u64, base: u64) -> Self {
        Self { mask, base }
    }

    /// The mask in `a0` and `a1`, where every function has it.
    pub(crate) const fn from_arguments(arguments: &[u64; 6]) -> Self {
        Self::new(arguments[0], arguments[1])
    }

    /// The harts, in a VM that has `count`.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] when one of them does not exist.
    pub fn validate(self, count: usize) -> Result<Harts, Error> {
        if self.base == Self::ALL {
            return Ok(Harts::all(count));
        }
        if self.mask == 0 {
            // The base need not exist when nothing is counted from it.
            return Ok(Harts::all(0));
        }
        let highest = self
            .base
            .checked_add(u64::from(self.mask.ilog2()))
            .and_then(|highest| usize::try_from(highest).ok())
            .ok_or(Error::InvalidParameter)?;
        if highest >= count {
            return Err(Error::InvalidParameter);
        }
        Ok(Harts {
            mask: Some(self.mask),
            base: highest - self.mask.ilog2() as usize,
            end: highest + 1,
        })
    }

    /// The harts that exist, in a VM that has `count`, leaving out those that do not.
    pub(crate) fn existing(self, count: usize) -> Harts {
        let room = (count as u64).saturating_sub(self.base);
        let existing = match room {
            64.. => self.mask,
            room => self.mask & !(u64::MAX << room),
        };
        Self::new(existing, self.base)
            .validate(count)
            .unwrap_or(Harts::all(0))
    }
}

/// A set of harts that all exist: an iterator over their ids in ascending order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Harts {
    /// Bits counted from `base`; `None` for all up to `end`.
    mask: Option<u64>,
    base: usize,
    end: usize,
}

impl Harts {
    /// Harts 0 to `count - 1`.
    #[must_use]
    pub const fn all(count: usize) -> Self {
        Self {
            mask: None,
            base: 0,
            end: count,
        }
    }

    /// Whether `hart` is one of them.
    #[must_use]
    pub fn contains(&self, hart: usize) -> bool {
        (self.base..self.end).contains(&hart)
            && self
                .mask
                .is_none_or(|mask| mask >> (hart - self.base) & 1 != 0)
    }
}

impl Iterator for Harts {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let offset = match &mut self.mask {
            None if self.base < self.end => {
                self.base += 1;
                return Some(self.base - 1);
            }
            None | Some(0) => return None,
            Some(mask) => {
                let offset = mask.trailing_zeros() as usize;
                *mask &= *mask - 1;
                offset
            }
        };
        Some(self.base + offset)
    }
}

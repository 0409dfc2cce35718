//! Frames that wait for a port.

use alloc::collections::VecDeque;

use crate::{Frame, LONGEST};

/// Frames that wait for a port, oldest first.
#[derive(Debug, Default)]
pub struct Inbox {
    frames: VecDeque<Frame>,
}

impl Inbox {
    /// Most frames in it.
    pub const MOST_FRAMES: usize = 256;
    /// Most bytes of frames in it.
    pub const MOST_BYTES: usize = Self::MOST_FRAMES * LONGEST;

    /// None.
    pub const fn new() -> Self {
        Self {
            frames: VecDeque::new(),
        }
    }

    /// Adds a frame. Returns false, and drops it, when there is no room.
    pub(crate) fn push(&mut self, frame: Frame) -> bool {
        let has_room = self.frames.len() < Self::MOST_FRAMES;
        if has_room {
            self.frames.push_back(frame);
        }
        has_room
    }

    /// The oldest frame.
    pub fn first(&self) -> Option<&Frame> {
        self.frames.front()
    }

    /// Takes the oldest frame out.
    pub fn pop(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    /// Puts back the frame that was taken out last, as the oldest. There is room for it, whatever came
    /// meanwhile.
    pub fn put_back(&mut self, frame: Frame) {
        self.frames.push_front(frame);
    }

    /// Drops all frames, as when the port's driver resets its device.
    pub fn clear(&mut self) {
        self.frames.clear();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

//! The routine cache: executable memory that holds routines, one for each instruction word.

use alloc::collections::BTreeMap;

/// Executable memory as the routine cache sees it: words written at an offset, made visible to
/// instruction fetch by the implementation.
pub trait ExecutableMemory {
    /// Bytes there are.
    fn size(&self) -> usize;
    /// Address at which offset 0 is executed.
    fn address(&self) -> u64;
    /// Writes `words` at `offset` bytes and makes them fetchable by this hart.
    fn write(&mut self, offset: usize, words: &[u32]);
}

/// Routines are aligned to this many bytes: a cache line of most cores.
const ALIGNMENT: usize = 64;

/// The routine cache.
pub struct Routines<M> {
    memory: M,
    used: usize,
    by_word: BTreeMap<u32, u64>,
    made: u64,
}

impl<M: ExecutableMemory> Routines<M> {
    /// An empty cache over `memory`.
    pub fn new(memory: M) -> Self {
        Self {
            memory,
            used: 0,
            by_word: BTreeMap::new(),
            made: 0,
        }
    }

    /// Address of the routine for an instruction word, if it was made.
    pub fn find(&self, word: u32) -> Option<u64> {
        self.by_word.get(&word).copied()
    }

    /// Stores a routine and returns its address, or `None` when the memory is used up.
    pub fn insert(&mut self, word: u32, code: &[u32]) -> Option<u64> {
        let offset = self.used;
        let end = offset + code.len() * 4;
        if end > self.memory.size() {
            return None;
        }
        self.memory.write(offset, code);
        self.used = end.next_multiple_of(ALIGNMENT);
        self.made += 1;
        let address = self.memory.address() + offset as u64;
        self.by_word.insert(word, address);
        Some(address)
    }

    /// Forgets every routine. No hart may be in one, nor about to enter one.
    pub fn clear(&mut self) {
        self.used = 0;
        self.by_word.clear();
    }

    /// Routines made since the start, recycled ones included.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// The memory behind the cache.
    pub fn memory(&self) -> &M {
        &self.memory
    }
}

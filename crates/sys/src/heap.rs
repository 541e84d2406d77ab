//! Freed memory that waits to serve again, rather than go back to the kernel.
//!
//! Where many connections have a large piece each in one turn, all of them are held until the tasks
//! have run, and freed one after the other. glibc gives memory at the end of its heap back to the
//! kernel as soon as there are 128 KiB of it, and every turn pays for all pages anew: 27 faults for
//! each piece of 100 KiB, which is half of what an echo of streams costs.
//!
//! It learns from what is freed, though: a block that was mapped by itself says what sizes the
//! program uses, and twice as much is kept from then on. asyncio teaches it by the 256 KiB that it
//! allocates for every read; here a block is taken and freed, untouched.
//!
//! How much is enough, fifty connections tell otherwise than five hundred. So the heap is watched:
//! one that became shorter and grows again was given back too early. When as much as is kept has
//! come and gone so, twice as much is kept, up to what glibc can learn. The end of the heap is a
//! word in glibc's memory, so to look costs no call to the kernel. With another C library, or where
//! the loop runs in a thread whose memory is no part of the heap, the least is kept that ever was.

use std::hint::black_box;

/// So many bytes may wait from the first look on.
const LEAST: usize = 8 * 1024 * 1024;
/// glibc learns nothing from blocks of more than half of this.
const MOST: usize = 64 * 1024 * 1024;
/// A block is so much longer than what was asked for, at most: its head, rounded up to a page.
const HEAD: usize = 64 * 1024;

/// The heap of the C library, watched by whoever takes large pieces of it.
#[derive(Debug, Default)]
pub struct Heap {
    /// So many freed bytes may wait; zero before the first look.
    kept: usize,
    /// Where it ended at the last look.
    end: usize,
    /// So many bytes were given back and did not come again.
    gone: usize,
    /// So many bytes were given back and came again since `kept` was set.
    returned: usize,
}

impl Heap {
    /// A heap that nobody has looked at.
    #[must_use]
    pub const fn new() -> Self {
        Self { kept: 0, end: 0, gone: 0, returned: 0 }
    }

    /// Looks at it before a large piece is taken, and has more kept if too little was.
    #[inline]
    pub fn watch(&mut self) {
        let end = end();
        if end != self.end || self.kept == 0 {
            self.learn(end);
        }
    }

    #[cold]
    fn learn(&mut self, end: usize) {
        if let Some(kept) = self.observe(end) {
            // A block that cannot be had teaches nothing, and is not needed.
            let mut block = Vec::<u8>::new();
            let _ = block.try_reserve_exact(kept / 2 - HEAD);
            drop(black_box(block));
        }
    }

    /// Takes note of where it ends: how much is to be kept from now on, if that is news.
    fn observe(&mut self, end: usize) -> Option<usize> {
        let before = std::mem::replace(&mut self.end, end);
        if self.kept == 0 {
            self.kept = LEAST;
            return Some(LEAST);
        }
        self.gone += before.saturating_sub(end);
        let again = end.saturating_sub(before).min(self.gone);
        self.gone -= again;
        self.returned += again;
        if self.returned < self.kept || self.kept == MOST {
            return None;
        }
        self.returned = 0;
        self.kept *= 2;
        Some(self.kept)
    }
}

/// Where the heap ends.
#[inline]
fn end() -> usize {
    // SAFETY: nothing is added to the heap, and nothing taken; it is one word that is read, which
    // another thread may move at any time.
    unsafe { libc::sbrk(0) }.addr()
}

#[cfg(test)]
mod tests {
    use super::{Heap, LEAST, MOST};

    const START: usize = 1 << 40;

    /// A heap that was looked at once.
    fn watched() -> Heap {
        let mut heap = Heap::new();
        assert_eq!(heap.observe(START), Some(LEAST));
        heap
    }

    #[test]
    fn a_heap_that_only_grows_keeps_the_least() {
        let mut heap = watched();
        for step in 1..100 {
            assert_eq!(heap.observe(START + step * LEAST), None);
        }
    }

    #[test]
    fn what_is_given_back_for_good_is_not_kept() {
        let mut heap = watched();
        assert_eq!(heap.observe(START + 10 * MOST), None);
        assert_eq!(heap.observe(START), None);
        assert_eq!(heap.observe(START + LEAST - 1), None);
    }

    #[test]
    fn what_comes_and_goes_is_kept_up_to_the_most() {
        let mut heap = watched();
        let mut told = Vec::new();
        for _ in 0..100 {
            told.extend(heap.observe(START + LEAST));
            told.extend(heap.observe(START));
        }
        assert_eq!(told, [2 * LEAST, 4 * LEAST, MOST]);
    }

    #[test]
    fn growth_beyond_what_was_given_back_does_not_count() {
        let mut heap = watched();
        assert_eq!(heap.observe(START - LEAST / 2), None);
        assert_eq!(heap.observe(START + 10 * LEAST), None);
        assert_eq!(heap.observe(START + 9 * LEAST + LEAST / 2), None);
        assert_eq!(heap.observe(START + 10 * LEAST), Some(2 * LEAST));
    }

    #[test]
    fn the_real_heap_can_be_watched() {
        let mut heap = Heap::new();
        heap.watch();
        assert_eq!(heap.kept, LEAST);
        heap.watch();
        assert_eq!(heap.kept, LEAST);
    }
}

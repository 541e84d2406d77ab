//! The handles that can run: first come, first served.
//!
//! It does not know where a turn ends; that count is kept by the [agenda](crate::agenda).

use std::collections::VecDeque;

/// The ring never shrinks below this many places.
const KEPT_PLACES: usize = 1024;

/// A queue of handles that can run.
#[derive(Debug)]
pub struct Ready<H> {
    ring: VecDeque<H>,
}

impl<H> Ready<H> {
    /// An empty queue, which has no memory of its own yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { ring: VecDeque::new() }
    }

    /// Puts a handle behind all others.
    #[inline(always)]
    pub fn push(&mut self, handle: H) {
        self.ring.push_back(handle);
    }

    /// Gives out the handle that has waited longest.
    #[inline]
    #[must_use]
    pub fn pop(&mut self) -> Option<H> {
        self.ring.pop_front()
    }

    /// How many handles can run.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether no handle can run.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// All handles in the order in which they will run.
    pub fn iter(&self) -> impl Iterator<Item = &H> {
        self.ring.iter()
    }

    /// Gives memory back after a flood.
    ///
    /// The ring halves only when seven eighths of it are free, so that at least three eighths must
    /// be queued anew before it has to grow again: the copying stays a constant per handle.
    #[inline]
    pub fn relax(&mut self) {
        let places = self.ring.capacity();
        if places > KEPT_PLACES && self.ring.len() < places / 8 {
            self.ring.shrink_to(places / 2);
        }
    }
}

impl<H> Default for Ready<H> {
    fn default() -> Self {
        Self::new()
    }
}

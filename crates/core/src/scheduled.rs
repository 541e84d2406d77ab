//! The handles that wait for a moment: a heap by deadline and then by age.
//!
//! asyncio's heap compares deadlines only and leaves the order of equal ones undefined. Here a
//! sequence number breaks the tie: equal deadlines are first come, first served.
//!
//! # What becomes of the cancelled
//!
//! Most timers are timeouts, and most timeouts are cancelled. To take one out of the middle of a
//! heap, its place would have to be known and kept true by every swap, which every timer would pay
//! for. So the cancelled stay, and leave in one of four ways, each of which asks the handle itself:
//!
//! ```text
//!   cancelled ──1──▶ it is the newest place          take_last_cancelled   at once, O(1)
//!             ──2──▶ it has become the first         sweep                 before a sleep
//!             ──3──▶ more than half are cancelled    sweep                 all of them, O(n)
//!             ──4──▶ its deadline came               the agenda's gather   skipped
//! ```
//!
//! Way 1 is the commonest by far: a timeout is asked for, the answer is there, the timeout is
//! cancelled. The last place of a heap can be taken away without moving anything, and a deadline
//! later than those before it stays in the last place. A million sleeping timers do not slow it.
//!
//! Way 3 costs one look at each entry, and comes only after as many cancellations as half of the
//! entries: two looks per cancellation, however many timers are alive. Both limits are asyncio's.

use crate::handle::Handle;
use crate::instant::Instant;

/// At most so many entries are never swept as a whole.
const UNSWEPT_ENTRIES: usize = 100;
/// Children of one entry. Four are compared in two cache lines, and halve the height of the heap.
const ARITY: usize = 4;
/// The heap's memory never shrinks below this many places.
const KEPT_PLACES: usize = 1024;

/// A heap of handles by deadline and age.
#[derive(Debug)]
pub struct Scheduled<H> {
    /// Invariant: no entry is due before its parent.
    entries: Vec<Entry<H>>,
    /// The age that the next entry gets.
    sequence: u64,
    /// Invariant: never fewer than the cancelled entries. It may be more, because the host also
    /// counts a handle that has just left for the ready queue; then a sweep merely comes early.
    cancelled: usize,
}

#[derive(Debug)]
struct Entry<H> {
    order: Order,
    handle: H,
}

/// The deadline above the age, in one number: two entries are compared in two instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order(u128);

impl Order {
    /// Flips the sign of a deadline, so that the negative ones come first among unsigned numbers.
    const SIGN: u64 = 1 << 63;

    #[inline]
    const fn new(when: Instant, age: u64) -> Self {
        Self((((when.nanos() as u64) ^ Self::SIGN) as u128) << 64 | age as u128)
    }

    #[inline]
    const fn when(self) -> Instant {
        Instant::from_nanos(((self.0 >> 64) as u64 ^ Self::SIGN) as i64)
    }
}

impl<H: Handle> Scheduled<H> {
    /// Takes out what was cancelled, as asyncio does at the start of a turn: everything if more
    /// than half are cancelled, otherwise only what stands first.
    #[inline]
    pub fn sweep(&mut self, token: H::Token<'_>, displaced: &mut Vec<H>) {
        if self.cancelled > 0 {
            self.sweep_cancelled(token, displaced);
        }
    }

    #[inline(never)]
    fn sweep_cancelled(&mut self, token: H::Token<'_>, displaced: &mut Vec<H>) {
        let count = self.entries.len();
        if count > UNSWEPT_ENTRIES && self.cancelled > count / 2 {
            return self.sweep_all(token, displaced);
        }
        while self.entries.first().is_some_and(|first| first.handle.is_cancelled(token)) {
            displaced.extend(self.pop());
            self.cancelled = self.cancelled.saturating_sub(1);
        }
        if self.entries.is_empty() {
            self.cancelled = 0;
        }
    }

    fn sweep_all(&mut self, token: H::Token<'_>, displaced: &mut Vec<H>) {
        let mut place = 0;
        while place < self.entries.len() {
            if self.entries[place].handle.is_cancelled(token) {
                displaced.push(self.entries.swap_remove(place).handle);
            } else {
                place += 1;
            }
        }
        self.cancelled = 0;
        // Below the parents of the last entry nothing can be out of order.
        for parent in (0..self.entries.len().div_ceil(ARITY)).rev() {
            self.sift_down(parent);
        }
        self.relax();
    }

    /// Takes out the entry in the last place if it was cancelled. Asked after each cancellation, it
    /// removes a timer that is cancelled soon after it was made.
    #[inline]
    #[must_use]
    pub fn take_last_cancelled(&mut self, token: H::Token<'_>) -> Option<H> {
        if !self.entries.last()?.handle.is_cancelled(token) {
            return None;
        }
        self.cancelled = self.cancelled.saturating_sub(1);
        self.entries.pop().map(|entry| entry.handle)
    }

    /// Gives out the first handle that is due, whether cancelled or not.
    #[inline]
    #[must_use]
    pub fn pop_due(&mut self, now: Instant) -> Option<H> {
        if self.entries.first()?.order.when() > now {
            return None;
        }
        self.pop()
    }
}

impl<H> Scheduled<H> {
    /// An empty heap, which has no memory of its own yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new(), sequence: 0, cancelled: 0 }
    }

    /// Adds a handle that becomes due at `when`.
    #[inline]
    pub fn schedule(&mut self, when: Instant, handle: H) {
        let sequence = self.sequence;
        self.sequence += 1;
        let order = Order::new(when, sequence);
        let place = self.entries.len();
        let parent = self.entries.get(place.wrapping_sub(1) / ARITY);
        let rises = parent.is_some_and(|parent| order < parent.order);
        self.entries.push(Entry { order, handle });
        if rises {
            self.sift_up(place);
        }
    }

    /// When the first entry is due, cancelled or not.
    #[inline]
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.entries.first().map(|entry| entry.order.when())
    }

    /// Counts an entry as cancelled. The host says so when a scheduled handle is cancelled.
    #[inline]
    pub fn note_cancelled(&mut self) {
        self.cancelled += 1;
    }

    /// A cancelled entry left on its own.
    #[inline]
    pub(crate) fn forget_cancelled(&mut self) {
        self.cancelled = self.cancelled.saturating_sub(1);
    }

    /// How many entries there are, the cancelled ones included.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is scheduled.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All handles, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &H> {
        self.entries.iter().map(|entry| &entry.handle)
    }

    /// Gives out every handle, in no particular order.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = H> {
        self.cancelled = 0;
        std::mem::take(&mut self.entries).into_iter().map(|entry| entry.handle)
    }

    /// Gives memory back after a flood. Most of the heap must have been left empty, so that the
    /// copying stays a constant per timer.
    pub(crate) fn relax(&mut self) {
        let places = self.entries.capacity();
        if places > KEPT_PLACES && self.entries.len() < places / 8 {
            self.entries.shrink_to(places / 2);
        }
    }

    fn pop(&mut self) -> Option<H> {
        if self.entries.is_empty() {
            return None;
        }
        let entry = self.entries.swap_remove(0);
        self.sift_down(0);
        Some(entry.handle)
    }

    #[inline(never)]
    fn sift_up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if self.entries[parent].order < self.entries[place].order {
                break;
            }
            self.entries.swap(place, parent);
            place = parent;
        }
    }

    fn sift_down(&mut self, mut place: usize) {
        while let Some((child, order)) = self.first_child(place) {
            if self.entries[place].order < order {
                break;
            }
            self.entries.swap(place, child);
            place = child;
        }
    }

    /// The child of `place` that is due first, and its order.
    #[inline]
    fn first_child(&self, place: usize) -> Option<(usize, Order)> {
        let start = place * ARITY + 1;
        if let Some(children) = self.entries.get(start..start + ARITY) {
            return least(start, children);
        }
        least(start, self.entries.get(start..)?)
    }
}

/// The entry that is due first, and its order. The places are counted from `start`.
#[inline(always)]
fn least<H>(start: usize, entries: &[Entry<H>]) -> Option<(usize, Order)> {
    let (first, others) = entries.split_first()?;
    let mut least = (start, first.order);
    for (place, entry) in (start + 1..).zip(others) {
        if entry.order < least.1 {
            least = (place, entry.order);
        }
    }
    Some(least)
}

impl<H> Default for Scheduled<H> {
    fn default() -> Self {
        Self::new()
    }
}

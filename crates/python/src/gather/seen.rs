//! Which arguments were given before: they are one child.

use pyo3::Bound;
use pyo3::types::{PyAny, PyAnyMethods};

/// So few are compared one by one.
const FEW: usize = 8;

/// An odd number without a pattern, the golden ratio's (Knuth's multiplicative hashing).
const SPREAD: usize = 0x9E37_79B9_7F4A_7C15;

/// The arguments seen so far, found by their identity.
pub(super) struct Seen<'a, 'py> {
    args: &'a [Bound<'py, PyAny>],
    /// A table of places in `args`, each plus one, by the argument's address; zero for none.
    /// Invariant: at least half of it is zero, and its length is a power of two.
    table: Vec<usize>,
    /// How many bits of a product are too many for a place in the table.
    shift: u32,
}

impl<'a, 'py> Seen<'a, 'py> {
    pub(super) fn new(args: &'a [Bound<'py, PyAny>]) -> Self {
        let length = if args.len() <= FEW { 0 } else { 2 * args.len().next_power_of_two() };
        let shift = usize::BITS - length.max(2).ilog2();
        Self { args, table: vec![0; length], shift }
    }

    /// Takes note of the argument at this place, and gives the place where it was given before.
    #[inline]
    pub(super) fn place_before(&mut self, index: usize) -> Option<usize> {
        let arg = &self.args[index];
        if self.table.is_empty() {
            return self.args[..index].iter().position(|before| before.is(arg));
        }
        let mask = self.table.len() - 1;
        // Objects lie in even steps: of the product the upper bits differ whatever the step is.
        let mut at = arg.as_ptr().addr().wrapping_mul(SPREAD) >> self.shift;
        loop {
            match self.table[at] {
                0 => {
                    self.table[at] = index + 1;
                    return None;
                }
                place if self.args[place - 1].is(arg) => return Some(place - 1),
                _ => at = (at + 1) & mask,
            }
        }
    }
}

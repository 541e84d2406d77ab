//! The life of a future: pending, then for ever cancelled or finished.
//!
//! ```text
//!                     ┌─────────┐ 1 cancel               ┌───────────┐
//!   created ─────────▶│ Pending ├───────────────────────▶│ Cancelled │
//!                     └────┬────┘                        └───────────┘
//!                          │ 2 set_result, set_exception ┌───────────┐
//!                          └────────────────────────────▶│ Finished  │
//!                                                        └───────────┘
//! ```
//!
//! Callbacks are not kept here. Whoever settles a future hands its callbacks to the loop
//! afterwards, with nothing half-changed.

use std::error::Error;
use std::fmt;

/// How far a future's life has come. The numbers are those of CPython's own struct.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stage {
    /// Nobody has settled it.
    #[default]
    Pending = 0,
    /// It was cancelled.
    Cancelled = 1,
    /// It has a result or an exception.
    Finished = 2,
}

/// A future was settled twice, or asked for what it does not have yet. asyncio raises its
/// `InvalidStateError`; the remedy is to ask `done()` first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidState;

impl Stage {
    /// The number in CPython's struct.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word by which asyncio names the stage, in `_state` and in `repr`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Cancelled => "CANCELLED",
            Self::Finished => "FINISHED",
        }
    }

    /// Whether the future is cancelled or finished.
    #[inline]
    #[must_use]
    pub const fn is_done(self) -> bool {
        !matches!(self, Self::Pending)
    }

    /// Arrow 2, and arrow 1 when the cancellation has already been decided.
    ///
    /// # Errors
    ///
    /// [`InvalidState`] if the future is done already, or if `to` is no end.
    ///
    /// # Examples
    ///
    /// ```
    /// use batonloop_core::{InvalidState, Stage};
    ///
    /// let done = Stage::Pending.settle(Stage::Finished)?;
    /// assert_eq!(done.settle(Stage::Finished), Err(InvalidState));
    /// # Ok::<(), InvalidState>(())
    /// ```
    #[inline]
    pub const fn settle(self, to: Self) -> Result<Self, InvalidState> {
        if self.is_done() || !to.is_done() {
            return Err(InvalidState);
        }
        Ok(to)
    }

    /// Arrow 1, or nothing if the future is done already: then `cancel()` answers `False`.
    #[inline]
    #[must_use]
    pub const fn cancel(self) -> Option<Self> {
        match self {
            Self::Pending => Some(Self::Cancelled),
            Self::Cancelled | Self::Finished => None,
        }
    }
}

impl fmt::Display for InvalidState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("invalid state")
    }
}

impl Error for InvalidState {}

//! The words in which a loop tells its story. This is the vocabulary only; who writes and who reads
//! the story comes later.
//!
//! # What a story is made of
//!
//! A loop has one thread, and control moves through it like a baton: from the loop to a task's
//! step, back to the loop, to a callback, and so on. Each such hand-off is one [`Word`], told by an
//! actor ([`Id`]) about a subject. The word [`Wake`](Word::Wake) is the arrow between two of them:
//! it says who made a task ready, and so answers "why did this run now?".
//!
//! # Why it will cost nothing while nobody listens
//!
//! Every hand-off passes through one place per kind: one function runs all handles, one makes all
//! steps, one settles all futures. There is no recorder yet. When there is one, those functions
//! can take a `const OBSERVED: bool` parameter and be compiled twice, and the loop chooses between
//! the two once per turn. So the unobserved copy will hold not a single question about observers,
//! and attaching means to choose the other copy in the next turn. Words that are rare by nature,
//! such as a request to cancel, need no second copy: they are told even at [`Level::Off`].
//!
//! The numbers are part of the format in which a story is stored. They are never used again for
//! something else; the gaps belong to transports, locks and whatever else is not built yet.

use crate::task::Next;

/// How much of its story a loop tells. Each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Nothing but what is rare. The level of every program that does not ask for more.
    #[default]
    Off = 0,
    /// Hand-offs, wakes, ends and polls, for services that run for months.
    Flight = 1,
    /// Also births, callbacks, timers, descriptors and executors.
    Trace = 2,
    /// Also what passes without a hand-off, for learning and teaching. Slow.
    Explain = 3,
}

/// The number of a task or future in a story, or one of two actors that are neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u32);

impl Id {
    /// The loop itself: nobody's step was running.
    pub const LOOP: Self = Self(0);
    /// A thread that does not run the loop.
    pub const OTHER_THREAD: Self = Self(u32::MAX);
}

/// What can happen in a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Word {
    /// A turn was opened: how many handles it will run, and how many timers became due.
    Turn = 1,
    /// The loop asked the kernel: for how long it was ready to sleep, how long it slept, and how
    /// many events there were.
    Poll = 2,
    /// A task made a step: how long it waited in the queue, how long it ran, and its [`Outcome`].
    Step = 3,
    /// A callback ran that is not a task's step, and for how long.
    Callback = 4,
    /// A step is still running. Told by a watchdog, since a step is told of only at its end.
    StuckIn = 5,
    /// A task was made: by whom, for which coroutine, and whether it started eagerly.
    TaskNew = 6,
    /// A task was given a name.
    TaskName = 7,
    /// A task ended: returned, raised or cancelled.
    TaskDone = 8,
    /// A task was destroyed, perhaps while it was pending.
    TaskDrop = 9,
    /// A future was made.
    FutureNew = 10,
    /// A future was settled, and how many were waiting for it.
    FutureDone = 11,
    /// A future was destroyed, perhaps while it was pending.
    FutureDrop = 12,
    /// A task was made ready, by whom and by which [`Cause`].
    Wake = 13,
    /// A task awaited something that was done already, and went on without a hand-off.
    AwaitReady = 14,
    /// A callback was added to a future.
    CallbackAdd = 15,
    /// A callback was removed from a future before it was called.
    CallbackRemove = 16,
    /// Someone asked to cancel a task or a future.
    CancelAsk = 17,
    /// A `CancelledError` was thrown into a coroutine.
    CancelGiven = 18,
    /// A cancellation came to nothing: taken back by `uncancel()`, or caught and not raised again.
    CancelEaten = 19,
    /// A future or task was given an exception.
    ExceptionStored = 20,
    /// That exception was retrieved.
    ExceptionTaken = 21,
    /// It never was, and the future is gone.
    ExceptionLost = 22,
    /// A timer was scheduled.
    TimerNew = 23,
    /// A timer was cancelled.
    TimerCancel = 24,
    /// A timer became ready, and how late.
    TimerFire = 25,
    /// A reader or writer was added to a descriptor.
    FdAdd = 26,
    /// A reader or writer was removed from a descriptor.
    FdRemove = 27,
    /// The kernel reported a descriptor that has a reader or writer.
    FdReady = 28,
    /// A function was handed to an executor.
    ExecutorNew = 34,
    /// It ended, and how long it ran.
    ExecutorDone = 35,
    /// Another thread queued a handle.
    ThreadIn = 36,
    /// A signal was caught.
    Signal = 37,
    /// The level of telling changed.
    Level = 52,
    /// A loop started, stopped or closed.
    Loop = 53,
}

impl Word {
    /// All words, by number.
    pub const ALL: [Self; 34] = [
        Self::Turn,
        Self::Poll,
        Self::Step,
        Self::Callback,
        Self::StuckIn,
        Self::TaskNew,
        Self::TaskName,
        Self::TaskDone,
        Self::TaskDrop,
        Self::FutureNew,
        Self::FutureDone,
        Self::FutureDrop,
        Self::Wake,
        Self::AwaitReady,
        Self::CallbackAdd,
        Self::CallbackRemove,
        Self::CancelAsk,
        Self::CancelGiven,
        Self::CancelEaten,
        Self::ExceptionStored,
        Self::ExceptionTaken,
        Self::ExceptionLost,
        Self::TimerNew,
        Self::TimerCancel,
        Self::TimerFire,
        Self::FdAdd,
        Self::FdRemove,
        Self::FdReady,
        Self::ExecutorNew,
        Self::ExecutorDone,
        Self::ThreadIn,
        Self::Signal,
        Self::Level,
        Self::Loop,
    ];

    /// The number by which the word is stored.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word that is stored by that number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.number() == number)
    }

    /// From which level on the word is told.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::CancelAsk | Self::CancelGiven | Self::CancelEaten | Self::ExceptionLost => {
                Level::Off
            }
            Self::FutureNew
            | Self::FutureDrop
            | Self::CallbackAdd
            | Self::CallbackRemove
            | Self::TimerNew
            | Self::TimerCancel
            | Self::FdAdd
            | Self::FdRemove
            | Self::ExecutorNew
            | Self::ExecutorDone => Level::Trace,
            Self::AwaitReady => Level::Explain,
            _ => Level::Flight,
        }
    }
}

/// How a task's step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// It awaits something.
    Awaits = 0,
    /// It lets the others run first.
    Yields = 1,
    /// The coroutine returned.
    Returned = 2,
    /// The coroutine raised.
    Raised = 3,
    /// The task is cancelled.
    Cancelled = 4,
}

impl From<Next> for Outcome {
    fn from(next: Next) -> Self {
        match next {
            Next::Wait { .. } => Self::Awaits,
            Next::Soon | Next::SoonWithError => Self::Yields,
            Next::Finish => Self::Returned,
            Next::Fail | Next::FailAndRaise => Self::Raised,
            Next::Cancel | Next::CancelOwed => Self::Cancelled,
        }
    }
}

/// Why a task became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cause {
    /// It was just made.
    Birth = 0,
    /// What it awaited is done.
    Future = 1,
    /// It had yielded to let the others run.
    Yield = 2,
    /// A timer fired.
    Timer = 3,
    /// A descriptor became ready.
    Fd = 4,
    /// Another thread said so.
    Thread = 5,
    /// It was cancelled.
    Cancel = 6,
}

//! What an agenda asks of the things that it puts in order. It is *not* a callback: only the host
//! knows how to run one.

/// A queued callback. The agenda orders handles; only the host runs them.
///
/// Both methods must be leaves. They are called while the agenda is borrowed, so they may read a
/// flag and count a reference, but never run foreign code.
pub trait Handle: Sized {
    /// Proof that the caller stands on the host's ground: `Python<'py>` for Python, `()` for Rust.
    type Token<'t>: Copy;

    /// Whether the handle was cancelled after it was queued.
    fn is_cancelled(&self, token: Self::Token<'_>) -> bool;

    /// A second handle to the same callback. A watched descriptor keeps one and queues the other.
    #[must_use]
    fn share(&self, token: Self::Token<'_>) -> Self;
}

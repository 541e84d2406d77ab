//! What a selector promises, asked of each of its flavours: the newest kernel's calls, and the
//! calls that older kernels have.

mod bench;

mod clock;
mod contract;
mod odd_fds;
mod once;
mod refusal;
mod signals;
mod timeouts;
mod wake;

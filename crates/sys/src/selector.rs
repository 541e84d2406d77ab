//! Where a loop sleeps. This file is the contract; a backend is a file beside it that keeps it.
//!
//! 1. **Level-triggered.** A descriptor is reported by every select as long as it is ready, unless
//!    it was to be watched once: then by one select.
//! 2. **Generous.** A hang-up or an error is reported as whatever was wanted, and perhaps as more.
//!    Who is roused is decided by the loop's own table.
//! 3. **Complete.** One select reports all that is ready, each descriptor once.
//! 4. **Never early.** Without events, a select returns no sooner than its timeout. It may be late
//!    by the kernel's own slack, some 50 microseconds, and is not rounded to milliseconds.
//! 5. **Interruptible.** A signal ends a select with [`Interrupted`], so that the host can look
//!    after signals before it sleeps again.
//! 6. **Frank.** What the kernel refuses is the kernel's own error number: `EPERM` for a descriptor
//!    that cannot be polled, such as a regular file, `EEXIST`, `ENOENT`, `EBADF`.
//! 7. **Shared.** All methods take `&self`, and may be called while another thread selects. That
//!    thread hears of the change at once.
//!
//! [`Interrupted`]: std::io::ErrorKind::Interrupted

#[cfg(target_os = "linux")]
mod epoll;

#[cfg(target_os = "linux")]
pub use epoll::Selector;

#[cfg(not(target_os = "linux"))]
compile_error!("no selector is written for this system yet: add a file beside epoll.rs");

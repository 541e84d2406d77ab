//! What a load costs the process under it: CPU time and memory, read from `/proc`.
//!
//! The scheduler counts in nanoseconds. `getrusage` would be as exact, but only a process itself
//! may ask it.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use crate::clock::now_ns;

/// Longer than a loop needs to go back to sleep after its last answer.
const PAUSE: Duration = Duration::from_millis(1);
/// A server that never rests is taken as it is.
const PATIENCE: usize = 50;

/// A process that is being measured; without a number, nobody.
pub(crate) struct Meter {
    process: Option<u32>,
}

/// The state of the meter at the start of a window.
pub(crate) struct Start {
    wall_ns: u64,
    cpu_ns: u64,
}

impl Meter {
    pub(crate) fn new(process: u32) -> Self {
        Self { process: (process != 0).then_some(process) }
    }

    /// Begins a window.
    ///
    /// # Errors
    ///
    /// The process has gone.
    pub(crate) fn start(&self) -> io::Result<Start> {
        let cpu_ns = self.cpu_at_rest()?;
        Ok(Start { wall_ns: now_ns(), cpu_ns })
    }

    /// Ends a window in which so many requests were answered: one line of JSON.
    ///
    /// # Errors
    ///
    /// The process has gone.
    pub(crate) fn stop(&self, start: &Start, requests: u64) -> io::Result<String> {
        let wall = now_ns() - start.wall_ns;
        let cpu = self.cpu_at_rest()? - start.cpu_ns;
        Ok(format!(r#"{{"requests": {requests}, "server_ns": {cpu}, "wall_ns": {wall}}}"#))
    }

    /// CPU time of all threads, once the process has nothing to do.
    ///
    /// After the last answer a loop still goes back to its selector. That belongs to the request,
    /// so the meter is read when two looks in a row agree.
    fn cpu_at_rest(&self) -> io::Result<u64> {
        let Some(process) = self.process else { return Ok(0) };
        let mut before = cpu_ns(process)?;
        for _ in 0..PATIENCE {
            thread::sleep(PAUSE);
            let now = cpu_ns(process)?;
            if now == before {
                break;
            }
            before = now;
        }
        Ok(before)
    }

    /// Bytes in memory, once the process has nothing to do.
    pub(crate) fn resident_at_rest(&self, page: usize) -> io::Result<usize> {
        self.cpu_at_rest()?;
        let Some(process) = self.process else { return Ok(0) };
        let text = fs::read_to_string(format!("/proc/{process}/statm"))?;
        let pages = text.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok());
        pages.map(|pages| pages * page).ok_or_else(|| io::Error::other("statm has another form"))
    }
}

/// The first number of every thread's `schedstat` is its time on a CPU.
fn cpu_ns(process: u32) -> io::Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end between the two looks; what it spent is then lost.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let spent = text.split(' ').next().and_then(|word| word.parse::<u64>().ok());
        sum += spent.ok_or_else(|| io::Error::other("schedstat has another form"))?;
    }
    Ok(sum)
}

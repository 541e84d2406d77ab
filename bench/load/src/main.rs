//! The raw servers that bound what a loop can reach, and the load that is put on any server.
//!
//! `bench/net.py` starts both. A server prints its port and runs until it is killed; a load prints
//! one line of JSON and ends. Both are plain system calls in one thread, so that what is measured
//! is the kernel's price of the job and nothing else.

#![forbid(unsafe_code)]

mod clock;
mod options;
mod poll;
mod meter;
mod server;
mod exchange;
mod accept;
mod idle;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::options::Options;

const USAGE: &str = "\
batonloop-bench COMMAND --name value ...
  echo-server                  send back what comes, level-triggered epoll; prints its port
  accept-server                accept, one byte there and back, close; prints its port
  echo    --port --connections --size  (--milliseconds | --count) [--server]
  http    --port --connections         (--milliseconds | --count) [--server]
  accept  --port --connections         (--milliseconds | --count) [--server]
  idle    --port --connections --server
The last four put a load on a server and print what it cost the process --server, in JSON.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else {
        return complain(USAGE);
    };
    let done = Options::read(rest).and_then(|options| match command.as_str() {
        "echo-server" => server::echo(say),
        "accept-server" => server::accept(say),
        "echo" => exchange::echo(&options).and_then(|answer| say(&answer)),
        "http" => exchange::http(&options).and_then(|answer| say(&answer)),
        "accept" => accept::load(&options).and_then(|answer| say(&answer)),
        "idle" => idle::load(&options).and_then(|answer| say(&answer)),
        _ => Err(io::Error::other(USAGE)),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            complain(&format!("Error: no answer within {:?}\n", exchange::PATIENCE))
        }
        Err(error) => complain(&format!("Error: {error}\n")),
    }
}

/// One line to whoever started this.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn complain(text: &str) -> ExitCode {
    // Where even this cannot be written, the exit status must do.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::FAILURE
}

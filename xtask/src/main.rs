//! The project's own tools, for what no tool that exists checks: `cargo xtask` lists them.

#![forbid(unsafe_code)]

mod tidy;

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask tidy                  check the tree against STYLE.md
cargo xtask tidy --unsafe-table   print the table of unsafe lines for ARCHITECTURE.md
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["tidy"] => tidy::check(&root()),
        ["tidy", "--unsafe-table"] => tidy::unsafe_table(&root()).map(|table| (table, true)),
        [] | ["help" | "--help"] => Ok((USAGE.to_string(), true)),
        _ => Ok((USAGE.to_string(), false)),
    };
    match done.and_then(|(text, good)| io::stdout().write_all(text.as_bytes()).map(|()| good)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where even this cannot be written, the exit status must do.
            let _ = writeln!(io::stderr(), "xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The directory of the workspace, which cargo tells whoever it runs. Not what the compiler knew:
/// two trees may share a target directory.
fn root() -> PathBuf {
    let manifests = env::var_os("CARGO_MANIFEST_DIR");
    manifests.map_or_else(|| PathBuf::from("."), |place| PathBuf::from(place).join(".."))
}

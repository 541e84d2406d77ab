//! Rule 28: a file of the Python package is named as asyncio's, so that who knows one finds the way
//! in the other.

use super::house::{Finding, House};

/// The modules of asyncio, of all Pythons that we run on.
const ASYNCIOS: &[&str] = &[
    "__init__",
    "__main__",
    "base_events",
    "base_futures",
    "base_subprocess",
    "base_tasks",
    "constants",
    "coroutines",
    "events",
    "exceptions",
    "format_helpers",
    "futures",
    "graph",
    "locks",
    "log",
    "mixins",
    "protocols",
    "queues",
    "runners",
    "selector_events",
    "sslproto",
    "staggered",
    "streams",
    "subprocess",
    "taskgroups",
    "tasks",
    "threads",
    "timeouts",
    "tools",
    "transports",
    "trsock",
    "unix_events",
];
/// What asyncio has no counterpart of; each with its reason.
const EXTRA: &[(&str, &str)] = &[
    ("_batonloop", "the stub of the extension module"),
    ("names", "what our modules have from asyncio's"),
    ("registry", "shows our tasks to `asyncio.all_tasks`, up to 3.13"),
    ("resolver", "threads that look names up: asyncio takes the default executor"),
    ("testing", "a loop whose time jumps: asyncio has none"),
    ("installation", "puts our names into asyncio and takes them out again"),
];
const PACKAGE: &str = "python/batonloop/";

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &house.files {
        let Some(name) = file.path.strip_prefix(PACKAGE) else { continue };
        let Some((stem, "py" | "pyi")) = name.rsplit_once('.') else { continue };
        if !ASYNCIOS.contains(&stem) && !EXTRA.iter().any(|(extra, _)| *extra == stem) {
            let what = format!(
                "asyncio has no module {stem}: put it where asyncio has it, or add it to EXTRA in \
                 xtask/src/tidy/mirror.rs, saying why (rule 28)"
            );
            findings.push(file.finding(1, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::house::assert_finds;

    #[test]
    fn a_file_that_asyncio_does_not_have_is_found() {
        assert_finds(check, "python/batonloop/engine.py", "", &[(1, "no module engine")]);
        assert_finds(check, "python/batonloop/tasks.py", "", &[]);
        assert_finds(check, "python/batonloop/py.typed", "", &[]);
        assert_finds(check, "python/batonloop/_batonloop.pyi", "", &[]);
    }
}

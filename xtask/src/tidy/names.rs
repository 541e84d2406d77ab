//! Rule 2: no `get_`, no `-Manager`, no module for what found no better place.

use super::house::{File, Finding, House};
use super::source::Source;

/// asyncio's own words win over the rule.
const ASYNCIOS: &[&str] = &[
    "get_buffer",
    "get_context",
    "get_coro",
    "get_debug",
    "get_event_loop",
    "get_event_loop_policy",
    "get_exception_handler",
    "get_extra_info",
    "get_loop",
    "get_name",
    "get_protocol",
    "get_read_buffer_limits",
    "get_read_buffer_size",
    "get_running_loop",
    "get_stack",
    "get_task_factory",
    "get_write_buffer_limits",
    "get_write_buffer_size",
];
/// A name that says nothing gathers everything.
const EMPTY_MODULES: &[&str] = &["common", "helpers", "misc", "util", "utils"];

pub(crate) fn check(house: &House) -> Vec<Finding> {
    house.rust().flat_map(|(file, source)| check_file(file, source)).collect()
}

fn check_file(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pair in source.tokens.windows(2) {
        let (keyword, name) = (pair[0].text.as_str(), pair[1].text.as_str());
        let line = pair[1].line;
        match keyword {
            "fn" if name.starts_with("get_") && !ASYNCIOS.contains(&name) => {
                let rest = name.trim_start_matches("get_");
                findings.push(file.finding(line, format!("fn {name}: call it `{rest}` (rule 2)")));
            }
            "struct" | "enum" | "trait" | "type" if name.ends_with("Manager") => {
                findings.push(file.finding(line, format!("{name}: say what it is (rule 2)")));
            }
            "mod" if EMPTY_MODULES.contains(&name) => {
                let what = format!("mod {name}: name it after what is in it (rule 2)");
                findings.push(file.finding(line, what));
            }
            _ => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::house::assert_finds;

    #[test]
    fn empty_words_are_found() {
        assert_finds(
            check,
            "crates/core/src/lib.rs",
            "fn get_timer() {}\nstruct TimerManager;\nmod utils;\nfn target() {}",
            &[(1, "`timer`"), (2, "TimerManager"), (3, "mod utils")],
        );
    }

    #[test]
    fn asyncios_own_words_may_stay() {
        assert_finds(check, "crates/python/src/tasks.rs", "fn get_coro() {}", &[]);
    }
}

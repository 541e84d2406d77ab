//! Rule 10: imports stand as std, other crates, ours, a blank line between; no globs, no preludes.
//!
//! The other crates of this workspace are other crates: "ours" is the crate that the file is in.

use super::house::{File, Finding, House};
use super::source::{Source, words};

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in house.rust() {
        findings.extend(check_globs(file, source));
        findings.extend(check_groups(file, source));
    }
    findings
}

/// A name that no import spells out cannot be found by reading.
fn check_globs(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for start in source.find(&["use"]) {
        let import = (start..source.tokens.len()).take_while(|&index| source.word(index) != ";");
        for index in import {
            let line = source.tokens[index].line;
            match source.word(index) {
                "*" => findings.push(file.finding(line, "a glob: name what you import (rule 10)")),
                "prelude" => {
                    let what = "a prelude: import from where it is defined (rule 10)";
                    findings.push(file.finding(line, what));
                }
                _ => {}
            }
        }
    }
    findings
}

/// The groups, in their order. What a file uses of the language comes first, what it is made of
/// last, so that a reader who knows Rust may begin at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Std,
    Others,
    Ours,
}

/// Reads the imports at the margin, in one pass. Those inside functions and modules are few enough
/// to need no order; other items, comments and attributes between imports begin a new list or none.
fn check_groups(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    // The group of the import before, and whether a blank line has followed it.
    let mut last: Option<(Group, bool)> = None;
    // Whether an import that spans lines is still open.
    let mut inside = false;
    for (index, line) in source.lines.iter().enumerate() {
        let code = line.code.trim_end();
        if inside {
            inside = !code.ends_with(';');
        } else if let Some(path) = code.strip_prefix("use ") {
            let group = group_of(path);
            inside = !code.ends_with(';');
            let fault = match last {
                Some((before, _)) if group < before => Some("belongs above"),
                Some((before, false)) if group != before => Some("wants a blank line above"),
                _ => None,
            };
            findings.extend(fault.map(|fault| {
                let what = format!("this import {fault}: std, other crates, ours (rule 10)");
                file.finding(index + 1, what)
            }));
            last = Some((group, false));
        } else if code.is_empty() && line.comment.is_empty() {
            last = last.map(|(group, _)| (group, true));
        } else if !code.is_empty() && !code.starts_with("#[") {
            // Something else: what follows it is a list of its own.
            last = None;
        }
    }
    findings
}

fn group_of(path: &str) -> Group {
    match words(path).find(|&word| word != ":").unwrap_or("") {
        "std" | "core" | "alloc" => Group::Std,
        "crate" | "self" | "super" => Group::Ours,
        _ => Group::Others,
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::house::assert_finds;

    #[test]
    fn globs_and_preludes_are_found() {
        let text = "use a::{b, c::*};\n\nfn f() {\n    use pyo3::prelude::X;\n    2 * 2;\n}\n";
        assert_finds(check, "crates/core/src/x.rs", text, &[(1, "a glob"), (4, "a prelude")]);
    }

    #[test]
    fn groups_stand_apart_and_in_order() {
        let text = "use std::a;\nuse pyo3::b;\n\nuse crate::c;\n\nuse std::{\n    d,\n};\n";
        assert_finds(
            check,
            "crates/core/src/x.rs",
            text,
            &[(2, "wants a blank line"), (6, "belongs above")],
        );
    }

    #[test]
    fn good_order_is_fine() {
        let text = "use std::a;\nuse std::b;\n\nuse pyo3::{\n    c,\n};\n\nuse crate::d;\n\
                    use crate::e;\n";
        assert_finds(check, "crates/core/src/x.rs", text, &[]);
    }
}

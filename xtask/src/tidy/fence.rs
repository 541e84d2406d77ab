//! Rules 23 and 24: `unsafe` stands in two crates only, argues its case, and is counted. The count
//! is a table in ARCHITECTURE.md, so that whoever adds a line of it must say so there.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::house::{File, Finding, House};
use super::source::Source;

/// The crates that the fence is around: the kernel and the interpreter.
const FENCED: &[&str] = &["cpython", "sys"];
const PAGE: &str = "ARCHITECTURE.md";
const MARK: &str = "<!-- unsafe-count -->";
/// An argument of fewer words is a label; but "as above" points at one.
const ARGUMENT_WORDS: usize = 3;

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in house.rust() {
        findings.extend(check_fence(file, source));
        findings.extend(check_arguments(file, source));
    }
    findings.extend(check_page(house));
    findings
}

/// The table as ARCHITECTURE.md must show it, with its marks.
pub(crate) fn table(house: &House) -> String {
    let mut counts = BTreeMap::new();
    for (file, source) in house.rust() {
        if let Some(name) = file.crate_name().filter(|_| file.path.starts_with("crates/")) {
            *counts.entry(name).or_insert(0) += unsafe_lines(source).len();
        }
    }
    let mut table = format!("{MARK}\n| crate | lines with `unsafe` |\n| --- | --- |\n");
    for (name, count) in counts {
        let _ = writeln!(table, "| `batonloop-{name}` | {count} |");
    }
    table + MARK + "\n"
}

/// The numbers of the lines with the word in their code.
fn unsafe_lines(source: &Source) -> Vec<usize> {
    let mut lines: Vec<usize> =
        source.find(&["unsafe"]).into_iter().map(|index| source.tokens[index].line).collect();
    lines.dedup();
    lines
}

/// The word in a comment or in a string is none of our business; [`Source`] has taken those out.
fn check_fence(file: &File, source: &Source) -> Vec<Finding> {
    if file.crate_name().is_some_and(|name| FENCED.contains(&name)) {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = unsafe_lines(source)
        .into_iter()
        .map(|line| file.finding(line, "unsafe: only in crates/sys and crates/cpython (rule 23)"))
        .collect();
    let is_root = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
    if is_root && source.find(&["#", "!", "[", "forbid", "(", "unsafe_code"]).is_empty() {
        let what = "the crate must say `#![forbid(unsafe_code)]` (rule 23)";
        findings.push(file.finding(1, what));
    }
    findings
}

/// Clippy asks for a comment above every unsafe block; this asks that the comment argue.
fn check_arguments(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.lines.iter().enumerate() {
        let Some((_, argument)) = line.comment.split_once("SAFETY:") else { continue };
        if argument.trim_start().starts_with("as ") {
            continue;
        }
        let more = source.lines[index + 1..]
            .iter()
            .take_while(|line| line.comment.starts_with("//") && line.code.trim().is_empty())
            .flat_map(|line| line.comment.split_whitespace().skip(1));
        if argument.split_whitespace().chain(more).count() < ARGUMENT_WORDS {
            let what = "SAFETY without an argument: say why each precondition holds (rule 24)";
            findings.push(file.finding(index + 1, what));
        }
    }
    findings
}

/// The page repeats the table word by word, so that a reader of it may believe it, and a change of
/// the number shows up in a review as what it is.
fn check_page(house: &House) -> Option<Finding> {
    let expected = table(house);
    let Some(page) = house.files.iter().find(|file| file.path == PAGE) else {
        return Some(Finding::missing(PAGE, format!("missing; it must show:\n{expected}")));
    };
    let Some(start) = page.text.find(MARK) else {
        let what = format!("the count of unsafe lines is missing; add:\n{expected}");
        return Some(page.finding(1, what));
    };
    (!page.text[start..].starts_with(&expected)).then(|| {
        let line = page.text[..start].lines().count() + 1;
        let what = format!("the count of unsafe lines is another now, say so:\n{expected}");
        page.finding(line, what)
    })
}

#[cfg(test)]
mod tests {
    use super::{check, table};
    use crate::tidy::house::House;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        check(&House::of(files)).iter().map(ToString::to_string).collect()
    }

    fn page(house: &[(&str, &str)]) -> String {
        format!("# Page\n\n{}\nMore.\n", table(&House::of(house)))
    }

    #[test]
    fn unsafe_outside_the_fence_is_found() {
        let text = "#![forbid(unsafe_code)]\n// unsafe\nfn f() { unsafe { g() } }\n";
        let file = ("crates/core/src/lib.rs", text);
        let page = page(&[file]);
        let found = found(&[file, ("ARCHITECTURE.md", &page)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/core/src/lib.rs:3: unsafe: only in"));
    }

    #[test]
    fn a_crate_outside_the_fence_forbids_it() {
        let file = ("crates/core/src/lib.rs", "//! X.\n");
        let page = page(&[file]);
        let found = found(&[file, ("ARCHITECTURE.md", &page)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("forbid(unsafe_code)"));
    }

    #[test]
    fn a_label_is_no_argument() {
        let text = "// SAFETY: fine.\nunsafe { f() };\n// SAFETY: the caller\n// holds the GIL.\n\
                    unsafe { f() };\n";
        let file = ("crates/sys/src/lib.rs", text);
        let page = page(&[file]);
        let found = found(&[file, ("ARCHITECTURE.md", &page)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/sys/src/lib.rs:1: SAFETY without an argument"));
    }

    #[test]
    fn another_count_than_the_page_says_is_found() {
        let before = page(&[("crates/sys/src/lib.rs", "")]);
        let after = ("crates/sys/src/lib.rs", "unsafe { f() }\n");
        let found = found(&[after, ("ARCHITECTURE.md", &before)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("ARCHITECTURE.md:3: the count"), "{}", found[0]);
        assert!(found[0].contains("| `batonloop-sys` | 1 |"));
    }

    #[test]
    fn a_page_without_the_count_is_found() {
        assert!(found(&[("ARCHITECTURE.md", "# Page\n")])[0].contains("missing; add"));
        assert!(found(&[])[0].starts_with("ARCHITECTURE.md:1: missing"));
    }
}

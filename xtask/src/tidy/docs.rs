//! Rules 15 and 16, loosely: enough is explained, a public item has a summary of one sentence, a
//! thing to do has its issue.

use super::house::{File, Finding, House};
use super::source::Source;

/// The rule asks for 20 to 50 lines of explanation in 100 of code; below this many, the machine
/// speaks up.
const EXPLANATION_PERCENT: usize = 8;
/// Shorter files may speak for themselves.
const SHORT_FILE: usize = 60;
/// A summary may wrap once.
const SUMMARY_LINES: usize = 2;

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in house.rust() {
        findings.extend(check_todo(file, source));
        if !file.is_test() {
            findings.extend(check_amount(file, source));
            findings.extend(check_summaries(file, source));
        }
    }
    findings
}

/// What nobody has written down elsewhere nobody will do.
fn check_todo(file: &File, source: &Source) -> Vec<Finding> {
    // In two parts, so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut findings = Vec::new();
    for (index, line) in source.lines.iter().enumerate() {
        let Some(mark) = marks.iter().find(|&&mark| line.comment.contains(mark)) else { continue };
        let has_issue = line
            .comment
            .split('#')
            .skip(1)
            .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if !has_issue {
            let what = format!("{mark} without an issue: write `{mark}(#12)`, or do it (rule 15)");
            findings.push(file.finding(index + 1, what));
        }
    }
    findings
}

/// Comments and documentation count alike; the unit tests count for nothing.
fn check_amount(file: &File, source: &Source) -> Option<Finding> {
    let lines = &source.lines[..(source.tests - 1).min(source.lines.len())];
    let code = lines.iter().filter(|line| !line.code.trim().is_empty()).count();
    let comments = lines.iter().filter(|line| !line.comment.is_empty()).count();
    let few = code > SHORT_FILE && comments * 100 < code * EXPLANATION_PERCENT;
    few.then(|| {
        let what = format!(
            "{comments} lines of explanation for {code} of code: say why things are so (rule 15)"
        );
        file.finding(1, what)
    })
}

/// That there is documentation at all is the compiler's to ask (`missing_docs`). Fields and
/// variants may be described in a few words; functions, types and modules get a sentence.
fn check_summaries(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.lines.iter().enumerate() {
        let is_public = line.code.trim_start().starts_with("pub ");
        let is_field_or_import = line.code.contains("pub use ") || line.code.ends_with(',');
        if !is_public || is_field_or_import || index + 1 >= source.tests {
            continue;
        }
        let Some((first, summary)) = summary(source, index) else { continue };
        let last = summary.last().copied().unwrap_or("");
        if !last.ends_with(['.', '!', '?', ':']) {
            let what = "the summary is no sentence: end it with a full stop (rule 16)";
            findings.push(file.finding(first + 1, what));
        } else if summary.len() > SUMMARY_LINES {
            let what = "the summary is long: one line, then a blank one, then the rest (rule 16)";
            findings.push(file.finding(first + 1, what));
        }
    }
    findings
}

/// The first paragraph of the documentation above a line, and where it begins.
fn summary(source: &Source, item: usize) -> Option<(usize, Vec<&str>)> {
    let above = |index: usize| source.lines[index].comment.strip_prefix("///");
    let attribute = |index: usize| {
        let code = source.lines[index].code.trim();
        code.starts_with("#[") || code.ends_with(")]") || code.ends_with(',')
    };
    let mut end = item;
    while end > 0 && above(end - 1).is_none() && attribute(end - 1) {
        end -= 1;
    }
    let mut first = end;
    while first > 0 && above(first - 1).is_some() {
        first -= 1;
    }
    let lines: Vec<&str> = (first..end)
        .map_while(|index| above(index).map(str::trim))
        .take_while(|line| !line.is_empty())
        .collect();
    (!lines.is_empty()).then_some((first, lines))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::house::assert_finds;

    #[test]
    fn a_thing_to_do_has_an_issue() {
        let text = concat!("// TO", "DO: later\n// TO", "DO(#7): later\nfix(\"me\");\n");
        assert_finds(check, "crates/core/src/x.rs", text, &[(1, "without an issue")]);
    }

    #[test]
    fn code_without_a_word_is_found() {
        let text = format!("//! X.\n{}", "x!();\n".repeat(80));
        assert_finds(check, "crates/core/src/x.rs", &text, &[(1, "1 lines of explanation")]);
        assert_finds(check, "crates/core/tests/x.rs", &text, &[]);
    }

    #[test]
    fn a_summary_is_one_sentence() {
        let text = "/// Runs\n#[must_use]\npub fn run() {}\n\n/// A.\n///\n/// B\npub fn b() {}\n\n\
                    /// A\n/// b\n/// c.\npub struct C;\n";
        assert_finds(
            check,
            "crates/core/src/x.rs",
            text,
            &[(1, "no sentence"), (10, "summary is long")],
        );
    }
}

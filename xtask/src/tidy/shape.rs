//! Rules 5 to 9: how a file opens, how long it and its functions are, what comes last.

use super::house::{File, Finding, House};
use super::source::Source;

/// Unit tests apart.
const FILE_LINES: usize = 800;
/// From `fn` to the closing brace.
const FUNCTION_LINES: usize = 70;
/// Counted in characters.
const COLUMNS: usize = 100;

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &house.files {
        findings.extend(check_opening(file));
        findings.extend(check_length(file));
        findings.extend(check_columns(file));
        if let Some(source) = &file.source {
            findings.extend(check_place(file, house));
            findings.extend(check_functions(file, source));
            findings.extend(check_last(file, source));
        }
    }
    findings
}

/// The first words of a file say what it is.
fn check_opening(file: &File) -> Option<Finding> {
    let text = file.text.strip_prefix("#!").and_then(|text| text.split_once('\n'));
    let text = text.map_or(file.text.as_str(), |(_, rest)| rest);
    let (opens, opening) = match extension(file) {
        "rs" => (file.text.starts_with("//! "), "`//! ` and what it is, in a sentence"),
        "py" | "pyi" => (
            text.starts_with("\"\"\"") || text.starts_with("r\"\"\""),
            "a docstring that says what it is",
        ),
        "sh" => (text.starts_with("# "), "a comment that says what it does"),
        _ => return None,
    };
    (!opens).then(|| file.finding(1, format!("the file must open with {opening} (rule 6)")))
}

/// Of a Rust file its unit tests do not count; a test file may be as long as it likes.
fn check_length(file: &File) -> Option<Finding> {
    if file.is_test() || !matches!(extension(file), "rs" | "py") {
        return None;
    }
    let tests = file.source.as_ref().map_or(usize::MAX, |source| source.tests - 1);
    let lines = file.text.lines().count().min(tests);
    (lines > FILE_LINES).then(|| {
        let what = format!("{lines} lines: split it, {FILE_LINES} are the most (rule 5)");
        file.finding(FILE_LINES + 1, what)
    })
}

/// A hundred columns let two files stand side by side. Tables in Markdown cannot be broken.
fn check_columns(file: &File) -> Vec<Finding> {
    // Of Python files ruff says it.
    if !matches!(extension(file), "rs" | "sh") && !file.path.ends_with("Makefile") {
        return Vec::new();
    }
    file.text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.chars().count() > COLUMNS)
        .map(|(index, _)| {
            file.finding(index + 1, format!("wider than {COLUMNS} columns: break it"))
        })
        .collect()
}

/// A module with children is `x.rs` beside `x/`.
fn check_place(file: &File, house: &House) -> Option<Finding> {
    if file.path.ends_with("/mod.rs") {
        return Some(file.finding(1, "mod.rs: move it to a file named as the folder (rule 5)"));
    }
    let (folder, _) = file.path.rsplit_once('/')?;
    let nested = folder.split_once("/src/").is_some();
    let parent = format!("{folder}.rs");
    let orphan = nested && !house.files.iter().any(|other| other.path == parent);
    orphan.then(|| file.finding(1, format!("{parent} must stand beside the folder (rule 5)")))
}

/// A function is its signature and its body; the documentation above it is not counted.
fn check_functions(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.is_test() {
        return findings;
    }
    for index in source.find(&["fn"]) {
        let (first, name) = (source.tokens[index].line, source.word(index + 1));
        let Some(body) = source.body(index) else { continue };
        let lines = source.tokens[source.closing(body)].line + 1 - first;
        if lines > FUNCTION_LINES && first < source.tests {
            let what = format!(
                "fn {name} has {lines} lines: split it, {FUNCTION_LINES} are the most (rule 9)"
            );
            findings.push(file.finding(first, what));
        }
    }
    findings
}

/// Nothing follows the unit tests.
fn check_last(file: &File, source: &Source) -> Option<Finding> {
    let tests = source.tokens.iter().position(|token| token.line >= source.tests)?;
    let modules = (tests..source.tokens.len()).find(|&index| source.word(index) == "mod")?;
    let end = source.body(modules).map_or(modules + 2, |body| source.closing(body));
    let after = source.tokens.get(end + 1)?;
    Some(file.finding(after.line, "tests stand last: move this above them (rule 7)"))
}

fn extension(file: &File) -> &str {
    file.path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::house::{House, assert_finds};

    #[test]
    fn a_file_says_what_it_is() {
        assert_finds(check, "crates/core/src/lib.rs", "mod x;\n", &[(1, "`//! `")]);
        assert_finds(check, "python/batonloop/log.py", "import x\n", &[(1, "a docstring")]);
        assert_finds(check, "bench/run.py", "#!/bin/python\n\"\"\"Runs.\"\"\"\n", &[]);
        assert_finds(check, "scripts/x.sh", "#!/bin/sh\nset -e\n", &[(1, "a comment")]);
    }

    #[test]
    fn a_long_file_is_found_but_not_for_its_tests() {
        let long = format!("//! X.\n{}", "x!();\n".repeat(800));
        assert_finds(check, "crates/core/src/lib.rs", &long, &[(801, "801 lines")]);
        assert_finds(check, "crates/core/tests/laws.rs", &long, &[]);
        let tests = format!("//! X.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "x!();\n".repeat(800));
        assert_finds(check, "crates/core/src/lib.rs", &tests, &[]);
    }

    #[test]
    fn a_wide_line_is_found() {
        let text = format!("//! X.\n// {}\n", "ü".repeat(98));
        assert_finds(check, "crates/core/src/lib.rs", &text, &[(2, "100 columns")]);
    }

    #[test]
    fn a_long_function_is_found() {
        let text = format!("//! X.\nfn f(a: [u8; 2])\n{{\n{}}}\n", "x();\n".repeat(69));
        assert_finds(check, "crates/core/src/lib.rs", &text, &[(2, "fn f has 72 lines")]);
        let text = format!("//! X.\nfn f() {{\n{}}}\n", "x();\n".repeat(68));
        assert_finds(check, "crates/core/src/lib.rs", &text, &[]);
    }

    #[test]
    fn a_folder_stands_beside_its_file() {
        assert_finds(check, "crates/core/src/x/mod.rs", "//! X.\n", &[(1, "mod.rs")]);
        assert_finds(check, "crates/core/src/x/y.rs", "//! X.\n", &[(1, "src/x.rs must stand")]);
        let house = House::of(&[
            ("crates/core/src/x.rs", "//! X.\n"),
            ("crates/core/src/x/y.rs", "//! X.\n"),
        ]);
        assert_eq!(check(&house), []);
    }

    #[test]
    fn tests_stand_last() {
        let text = "//! X.\n#[cfg(test)]\nmod tests {\n}\nfn late() {}\n";
        assert_finds(check, "crates/core/src/lib.rs", text, &[(5, "tests stand last")]);
    }
}

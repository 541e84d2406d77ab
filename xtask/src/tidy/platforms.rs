//! Rule 31: what differs between platforms is chosen in crates/sys, what differs between Pythons in
//! crates/cpython and crates/python, for the law and the kernel know no Python; no cfg macros, no
//! features.

use super::house::{File, Finding, House};
use super::source::Source;

pub(crate) fn check(house: &House) -> Vec<Finding> {
    house.rust().flat_map(|(file, source)| check_file(file, source)).collect()
}

fn check_file(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, token) in source.tokens.iter().enumerate() {
        let called = source.word(index + 1) == "!";
        match token.text.as_str() {
            "cfg" | "cfg_if" | "cfg_match" if called => {
                let what = format!("{}!: choose a file instead (rule 31)", token.text);
                findings.push(file.finding(token.line, what));
            }
            "cfg" | "cfg_attr" if source.word(index + 1) == "(" => {
                findings.extend(check_condition(file, source, index + 1));
            }
            _ => {}
        }
    }
    findings
}

fn check_condition(file: &File, source: &Source, open: usize) -> Option<Finding> {
    let home = file.crate_name().unwrap_or("");
    let line = source.tokens[open].line;
    (open..source.closing(open)).find_map(|index| {
        let what = match source.word(index) {
            word if word.starts_with("Py_") && !matches!(home, "cpython" | "python") => {
                format!("{word}: {home} knows no Python (rule 31)")
            }
            word @ ("target_os" | "target_family" | "unix" | "windows") if home != "sys" => {
                format!("{word}: platforms differ in crates/sys only (rule 31)")
            }
            "feature" => "a feature: no feature changes what the code does (rule 31)".to_string(),
            _ => return None,
        };
        Some(file.finding(line, what))
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::house::assert_finds;

    #[test]
    fn a_choice_in_the_wrong_place_is_found() {
        assert_finds(
            check,
            "crates/core/src/task.rs",
            "#[cfg(not(Py_3_12))]\nfn a() {}\n#[cfg(target_os = \"linux\")]\nfn b() {}\n\
             #[cfg(test)]\nmod tests {}\n",
            &[(1, "Py_3_12"), (3, "target_os")],
        );
        assert_finds(check, "crates/cpython/src/layout.rs", "#[cfg(Py_3_12)]\nfn a() {}\n", &[]);
        assert_finds(check, "crates/sys/src/selector.rs", "#[cfg(unix)]\nfn a() {}\n", &[]);
    }

    #[test]
    fn cfg_macros_and_features_are_found() {
        assert_finds(
            check,
            "crates/sys/src/selector.rs",
            "fn f() { if cfg!(unix) {} }\n#[cfg(feature = \"trace\")]\nfn g() {}\n",
            &[(1, "cfg!"), (2, "a feature")],
        );
    }
}

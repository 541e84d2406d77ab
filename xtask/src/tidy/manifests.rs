//! Rule 40: every dependency says in a comment why it is there, and `core` has none.

use super::house::{File, Finding, House};

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let manifests = house.files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    manifests.flat_map(check_manifest).collect()
}

fn check_manifest(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut section = "";
    let mut above = "";
    for (index, line) in file.text.lines().map(str::trim).enumerate() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if section.ends_with("dependencies") && is_dependency(line) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or("");
            if file.crate_name() == Some("core") && section == "dependencies" {
                let what = format!("{name}: core depends on nothing (rule 40)");
                findings.push(file.finding(index + 1, what));
            }
            if !above.starts_with('#') {
                let what = format!("{name}: say in a comment above why it is there (rule 40)");
                findings.push(file.finding(index + 1, what));
            }
        }
        above = line;
    }
    findings
}

/// Whether the line names a crate, and not one that stands in this workspace.
fn is_dependency(line: &str) -> bool {
    let starts = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '"');
    starts && line.contains('=') && !line.contains("path = ")
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::house::assert_finds;

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let text = "[dependencies]\n# System calls.\nrustix.workspace = true\npyo3 = \"1\"\n\n\
                    [workspace.dependencies]\nours = { path = \"x\" }\n[package]\nname = \"x\"\n";
        assert_finds(check, "crates/sys/Cargo.toml", text, &[(4, "pyo3: say in a comment")]);
    }

    #[test]
    fn core_depends_on_nothing() {
        let text = "[dependencies]\n# Why.\nx = \"1\"\n[dev-dependencies]\n# Why.\ny = \"1\"\n";
        assert_finds(check, "crates/core/Cargo.toml", text, &[(3, "core depends on nothing")]);
    }
}

//! Rule 40: every dependency says in a comment why it is there, and `core` has none. And the Rust
//! that a page asks for is the one that Cargo.toml asks for.

use super::house::{File, Finding, House};

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let manifests = house.files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    manifests.flat_map(check_manifest).chain(check_rust(house)).collect()
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

/// Every `Rust 1.88` on a page.
fn check_rust(house: &House) -> Vec<Finding> {
    let root = house.files.iter().find(|file| file.path == "Cargo.toml");
    let line = root.and_then(|file| file.text.lines().find_map(|l| l.strip_prefix(RUST_VERSION)));
    let Some(asked) = line.map(|line| line.trim_matches([' ', '=', '"'])) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for file in house.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (index, line) in file.text.lines().enumerate() {
            for (at, word) in line.match_indices("Rust 1.") {
                let rest = &line[at + word.len()..];
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let said = format!("1.{}", &rest[..end]);
                if said != asked {
                    let what = format!("Rust {said}: Cargo.toml asks for {asked}");
                    findings.push(file.finding(index + 1, what));
                }
            }
        }
    }
    findings
}

/// Whether the line names a crate, and not one that stands in this workspace.
fn is_dependency(line: &str) -> bool {
    let starts = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '"');
    starts && line.contains('=') && !line.contains("path = ")
}

const RUST_VERSION: &str = "rust-version";

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::house::{House, assert_finds};

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let text = "[dependencies]\n# System calls.\nrustix.workspace = true\npyo3 = \"1\"\n\n\
                    [workspace.dependencies]\nours = { path = \"x\" }\n[package]\nname = \"x\"\n";
        assert_finds(check, "crates/sys/Cargo.toml", text, &[(4, "pyo3: say in a comment")]);
    }

    #[test]
    fn a_page_asks_for_the_same_rust() {
        let manifest = ("Cargo.toml", "[workspace.package]\nrust-version = \"1.88\"\n");
        let page = "Rust 1.88 or newer.\nWith Rust 1.85, it\nis built.\n";
        let findings = check(&House::of(&[manifest, ("README.md", page)]));
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["README.md:2: Rust 1.85: Cargo.toml asks for 1.88"]);
    }

    #[test]
    fn core_depends_on_nothing() {
        let text = "[dependencies]\n# Why.\nx = \"1\"\n[dev-dependencies]\n# Why.\ny = \"1\"\n";
        assert_finds(check, "crates/core/Cargo.toml", text, &[(3, "core depends on nothing")]);
    }
}

//! Rule 8: the modules of a crate form a line. `lib.rs` declares them from the ground up, and a
//! file imports only from modules above its own, so that circles cannot be written.
//!
//! A file and its folder are one module. A name that `lib.rs` gives out counts as its module.

use std::collections::HashMap;

use super::house::{File, Finding, House};
use super::source::Source;

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (root, source) in house.rust() {
        let Some((folder, "lib.rs" | "main.rs")) = root.path.rsplit_once('/') else { continue };
        let modules = declared(source);
        let places = places(source, &modules);
        for (file, source) in house.rust() {
            let Some(inside) = file.path.strip_prefix(folder).and_then(|p| p.strip_prefix('/'))
            else {
                continue;
            };
            let own = inside.split('/').next().unwrap_or("").trim_end_matches(".rs");
            if let Some(height) = modules.iter().position(|module| module == own) {
                findings.extend(check_file(file, source, own, height, &places));
            }
        }
    }
    findings
}

/// The modules in the order of their declarations.
fn declared(source: &Source) -> Vec<String> {
    source
        .find(&["mod"])
        .into_iter()
        .filter(|&index| source.word(index + 2) == ";" && source.tokens[index].line < source.tests)
        .map(|index| source.word(index + 1).to_string())
        .collect()
}

/// The height of every name at the root: of the modules, and of what `lib.rs` gives out of them.
fn places(source: &Source, modules: &[String]) -> HashMap<String, usize> {
    let mut places: HashMap<String, usize> =
        modules.iter().enumerate().map(|(height, module)| (module.clone(), height)).collect();
    for start in source.find(&["pub", "use"]) {
        let Some(height) = modules.iter().position(|module| module == source.word(start + 2))
        else {
            continue;
        };
        let names = (start + 3..source.tokens.len()).map(|index| source.word(index));
        for name in names.take_while(|&word| word != ";") {
            places.entry(name.to_string()).or_insert(height);
        }
    }
    places
}

/// Every path that begins at the crate's root, in an import or in the middle of code: a circle is a
/// circle, however it is spelled. Unit tests may use the whole crate.
fn check_file(
    file: &File,
    source: &Source,
    own: &str,
    height: usize,
    places: &HashMap<String, usize>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for index in source.find(&["crate", ":", ":"]) {
        if source.tokens[index].line >= source.tests {
            break;
        }
        // Not the `crate` of `pub(in crate::x)`, and not the end of `$crate`.
        if matches!(source.word(index.wrapping_sub(1)), "in" | "$") {
            continue;
        }
        for (name, line) in first_names(source, index + 3) {
            let Some(&other) = places.get(name) else { continue };
            if other > height {
                let what = format!(
                    "crate::{name} stands below {own} in lib.rs: import only from above, \
                     or move one of the two (rule 8)"
                );
                findings.push(file.finding(line, what));
            }
        }
    }
    findings
}

/// The names that follow `crate::`: one, or those of the outermost braces.
fn first_names(source: &Source, start: usize) -> Vec<(&str, usize)> {
    if source.word(start) != "{" {
        return source.tokens.get(start).map(|t| (t.text.as_str(), t.line)).into_iter().collect();
    }
    let end = source.closing(start);
    let mut names = Vec::new();
    let mut index = start + 1;
    while index < end {
        names.push((source.word(index), source.tokens[index].line));
        while index < end && source.word(index) != "," {
            index = if source.word(index) == "{" { source.closing(index) } else { index } + 1;
        }
        index += 1;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::house::House;

    const LIB: &str = "pub mod low;\nmod high;\npub use high::{High, Higher};\n";

    fn found(path: &str, text: &str) -> Vec<String> {
        let house = House::of(&[("crates/core/src/lib.rs", LIB), (path, text)]);
        check(&house).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_import_from_below_is_found() {
        let found = found("crates/core/src/low.rs", "use crate::high::X;\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/core/src/low.rs:1: crate::high stands below low"));
    }

    #[test]
    fn a_name_that_the_root_gives_out_counts_as_its_module() {
        assert_eq!(found("crates/core/src/low.rs", "use crate::Higher;\n").len(), 1);
    }

    #[test]
    fn every_name_of_a_group_is_looked_at() {
        let text = "use crate::{\n    low::{A, B},\n    high::C,\n};\n";
        let found = found("crates/core/src/low/inner.rs", text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/core/src/low/inner.rs:3:"));
    }

    #[test]
    fn an_import_from_above_or_from_itself_is_fine() {
        assert!(found("crates/core/src/high.rs", "use crate::low::X;\n").is_empty());
        assert!(found("crates/core/src/low/inner.rs", "use crate::low::X;\n").is_empty());
        let tests = "#[cfg(test)]\nmod tests { use crate::high::X; }\n";
        assert!(found("crates/core/src/low.rs", tests).is_empty());
    }
}

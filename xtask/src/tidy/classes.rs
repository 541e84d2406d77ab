//! Rule 30: a `#[pyclass]` is frozen, and one that holds Python objects shows them to the garbage
//! collector and lets go of them.
//!
//! A class holds Python objects if a field's type mentions `Py<`, one of the [`KEEPERS`] of
//! crates/cpython, or a struct or enum of the same crate that does. A class that nothing can be
//! taken out of says so in its documentation with the words of [`NOTHING_TO_CLEAR`], and the
//! reason.

use std::collections::HashSet;

use super::house::{File, Finding, House};
use super::source::Source;

const NOTHING_TO_CLEAR: &str = "Not cleared:";
/// What keeps a Python object for other crates, without a word of it in a field's type.
const KEEPERS: &[&str] = &["Slot", "GilSlot", "Builtin"];

/// A struct or an enum.
struct Type<'h> {
    file: &'h File,
    source: &'h Source,
    name: &'h str,
    line: usize,
    /// The words of its attributes, if it is a Python class.
    pyclass: Option<Vec<&'h str>>,
    fields: Vec<&'h str>,
}

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let types: Vec<Type<'_>> =
        house.rust().flat_map(|(file, source)| types_of(file, source)).collect();
    let holders = holders(&types);
    let mut findings = Vec::new();
    for class in &types {
        let Some(attributes) = &class.pyclass else { continue };
        if !attributes.contains(&"frozen") {
            let what = format!("#[pyclass] {}: make it frozen (rule 30)", class.name);
            findings.push(class.file.finding(class.line, what));
        }
        if !holders.contains(&key(class)) {
            continue;
        }
        for method in ["__traverse__", "__clear__"] {
            let excused = method == "__clear__" && says_why(class);
            if !excused && !has_method(house, class, method) {
                let what = format!(
                    "#[pyclass] {} holds Python objects: give it {method} (rule 30)",
                    class.name
                );
                findings.push(class.file.finding(class.line, what));
            }
        }
    }
    findings
}

fn types_of<'h>(file: &'h File, source: &'h Source) -> Vec<Type<'h>> {
    let mut types = Vec::new();
    let mut pyclass: Option<Vec<&str>> = None;
    let mut index = 0;
    while index < source.tokens.len() {
        match source.word(index) {
            "#" if source.word(index + 1) == "[" => {
                let end = source.closing(index + 1);
                if source.word(index + 2) == "pyclass" {
                    pyclass = Some((index..end).map(|index| source.word(index)).collect());
                }
                index = end;
            }
            "struct" | "enum" if source.tokens[index].line < source.tests => {
                let (fields, end) = fields_of(source, index + 1);
                types.push(Type {
                    file,
                    source,
                    name: source.word(index + 1),
                    line: source.tokens[index].line,
                    pyclass: pyclass.take(),
                    fields,
                });
                index = end;
            }
            "fn" | "impl" | "trait" | "mod" => pyclass = None,
            _ => {}
        }
        index += 1;
    }
    types
}

/// The words between a type's braces or parentheses, and where they end.
fn fields_of(source: &Source, name: usize) -> (Vec<&str>, usize) {
    let open = (name..source.tokens.len())
        .find(|&index| matches!(source.word(index), "{" | "(" | ";"))
        .unwrap_or(name);
    if source.word(open) == ";" {
        return (Vec::new(), open);
    }
    let end = source.closing(open);
    ((open..end).map(|index| source.word(index)).collect(), end)
}

fn key<'h>(class: &Type<'h>) -> (Option<&'h str>, &'h str) {
    (class.file.crate_name(), class.name)
}

/// Every type that holds a Python object, itself or through another type of its crate.
fn holders<'h>(types: &[Type<'h>]) -> HashSet<(Option<&'h str>, &'h str)> {
    let mut holders = HashSet::new();
    loop {
        let before = holders.len();
        for class in types {
            let home = class.file.crate_name();
            let holds = class.fields.windows(2).any(|pair| pair == ["Py", "<"])
                || class.fields.iter().any(|word| KEEPERS.contains(word))
                || class.fields.iter().any(|word| holders.contains(&(home, *word)));
            if holds {
                holders.insert(key(class));
            }
        }
        if holders.len() == before {
            return holders;
        }
    }
}

/// Whether some `impl Name { ... }` of the crate has the method.
fn has_method(house: &House, class: &Type<'_>, method: &str) -> bool {
    house.rust().filter(|(file, _)| file.crate_name() == class.file.crate_name()).any(
        |(_, source)| {
            source.find(&["impl", class.name, "{"]).into_iter().any(|start| {
                let body = start + 2..source.closing(start + 2);
                source.find(&["fn", method]).into_iter().any(|index| body.contains(&index))
            })
        },
    )
}

/// Whether the documentation above the class says why nothing is cleared.
fn says_why(class: &Type<'_>) -> bool {
    class.source.lines[..class.line - 1]
        .iter()
        .rev()
        .take_while(|line| !line.comment.is_empty() || line.code.trim_start().starts_with("#["))
        .any(|line| line.comment.contains(NOTHING_TO_CLEAR))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::house::{House, assert_finds};

    const PATH: &str = "crates/python/src/events.rs";

    #[test]
    fn a_class_that_hides_its_objects_is_found() {
        let text = "#[pyclass(frozen)]\n/// X.\npub struct Handle {\n    \
                    callback: Option<Py<PyAny>>,\n}\n\
                    impl Handle {\n    fn __traverse__(&self) {}\n}\n";
        assert_finds(check, PATH, text, &[(3, "give it __clear__")]);
        let text = "#[pyclass(frozen)]\nstruct Handle(Py<PyAny>);\n";
        assert_finds(check, PATH, text, &[(2, "__traverse__"), (2, "__clear__")]);
    }

    #[test]
    fn objects_held_through_another_type_count() {
        let handle = "#[pyclass(frozen)]\nstruct Handle {\n    state: Cell<State>,\n}\n";
        let state = "struct State { callback: Py<PyAny> }\n";
        let house = House::of(&[(PATH, handle), ("crates/python/src/state.rs", state)]);
        assert_eq!(check(&house).len(), 2);
        let elsewhere = House::of(&[(PATH, handle), ("crates/cpython/src/state.rs", state)]);
        assert_eq!(check(&elsewhere).len(), 0);
    }

    #[test]
    fn objects_held_in_a_place_of_ours_count() {
        let text = "#[pyclass(frozen)]\nstruct FutureIter {\n    future: GilSlot,\n}\n";
        assert_finds(check, PATH, text, &[(2, "__traverse__"), (2, "__clear__")]);
        let text = "#[pyclass(frozen)]\n\
                    struct EventLoop {\n    agenda: LoopCell<Agenda<Entry>>,\n}\n\
                    struct Entry { object: Py<PyAny>, verb: u8 }\n\
                    impl EventLoop { fn __traverse__(&self) {} }\n";
        assert_finds(check, PATH, text, &[(2, "__clear__")]);
        let text = "#[pyclass(frozen)]\nstruct Flags(GilCell<bool>, TypeCache);\n";
        assert_finds(check, PATH, text, &[]);
    }

    #[test]
    fn a_class_without_objects_needs_only_be_frozen() {
        assert_finds(check, PATH, "#[pyclass]\nstruct Counter(u32);\n", &[(2, "make it frozen")]);
        assert_finds(check, PATH, "struct Inner { callback: Py<PyAny> }\n", &[]);
    }

    #[test]
    fn a_class_may_say_why_it_is_not_cleared() {
        let text = "/// X.\n///\n/// Not cleared: it never changes, and what it holds lets go.\n\
                    #[pyclass(frozen)]\nstruct Handle(Py<PyAny>);\n\
                    impl Handle { fn __traverse__(&self) {} }\n";
        assert_finds(check, PATH, text, &[]);
    }
}

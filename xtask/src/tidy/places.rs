//! No file names the machine it was written on, nor where packages come from: each client of a
//! registry knows that itself, and another machine has another answer.

use super::house::{Finding, House};

/// What to look for, in two parts so that this file does not find itself, and what it is.
const PLACES: &[(&str, &str, &str)] = &[
    ("crates", ".io/api", "the host of a registry"),
    ("index.crates", ".io", "the host of a registry"),
    ("static.crates", ".io", "the host of a registry"),
    ("pypi", ".org", "the host of a registry"),
    ("pythonhosted", ".org", "the host of a registry"),
    ("deb.debian", ".org", "the host of a registry"),
    ("ftp.debian", ".org", "the host of a registry"),
    ("security.debian", ".org", "the host of a registry"),
    ("snapshot.debian", ".org", "the host of a registry"),
    ("proxy.golang", ".org", "the host of a registry"),
    ("registry.npmjs", ".org", "the host of a registry"),
    ("--index", "-url", "the choice of a registry"),
    ("--extra-index", "-url", "the choice of a registry"),
    ("/ro", "ot/", "a path of one machine"),
    ("/ho", "me/", "a path of one machine"),
    ("/Us", "ers/", "a path of one machine"),
    ("/wo", "rk/", "a path of one machine"),
    ("/op", "t/", "a path of one machine"),
];

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &house.files {
        for (index, line) in file.text.lines().enumerate() {
            for (start, end, what) in PLACES {
                let place = format!("{start}{end}");
                if mentions(line, &place) {
                    let what = format!("{place} is {what}: leave it to each machine to know");
                    findings.push(file.finding(index + 1, what));
                }
            }
        }
    }
    findings
}

/// Whether the place begins there, and is not the middle of a longer path or name.
fn mentions(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '~' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::house::assert_finds;

    #[test]
    fn hosts_and_paths_of_one_machine_are_found() {
        let text =
            concat!("pip install --index", "-url x\n", "cd /ho", "me/me\n", "cd ~/ho", "me/\n");
        assert_finds(
            check,
            "Makefile",
            text,
            &[(1, "the choice of a registry"), (2, "a path of one machine")],
        );
        let text = concat!("https://pypi", ".org/simple\n", "$H/work", "/x crates/work", "/y\n");
        assert_finds(check, "README.md", text, &[(1, "the host of a registry")]);
    }
}

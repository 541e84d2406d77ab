//! The tree as the checks see it: every file that git knows or would take, and what is found there.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::source::Source;

/// Every file that is text.
pub(crate) struct House {
    pub(crate) files: Vec<File>,
}

/// One file; the path begins at the root of the workspace.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Of a Rust file only.
    pub(crate) source: Option<Source>,
}

/// Something to mend.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// Counted from one.
    line: usize,
    what: String,
}

impl House {
    /// Reads the tree: what is committed, and what is new and not ignored.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()?;
        if !listed.status.success() {
            let complaint = String::from_utf8_lossy(&listed.stderr).trim().to_string();
            return Err(io::Error::other(format!("tidy reads what git lists: {complaint}")));
        }
        let listed = String::from_utf8_lossy(&listed.stdout);
        let mut files = Vec::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            match fs::read(root.join(path)).map(String::from_utf8) {
                Ok(Ok(text)) => files.push(File::new(path, text)),
                // Not text: a picture.
                Ok(Err(_)) => {}
                // Deleted and not yet committed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        Ok(Self { files })
    }

    /// Every Rust file.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.source.as_ref()?)))
    }

    /// A tree for a test.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| File::new(path, text.to_string())).collect() }
    }
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let source = path.ends_with(".rs").then(|| Source::read(&text));
        Self { path: path.to_string(), text, source }
    }

    /// `core` of `crates/core/src/lib.rs`; `xtask` of what is there.
    pub(crate) fn crate_name(&self) -> Option<&str> {
        let mut parts = self.path.split('/');
        match parts.next()? {
            "crates" => parts.next(),
            "xtask" => Some("xtask"),
            _ => None,
        }
    }

    /// Whether all of the file is test, bench or example.
    pub(crate) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples"))
    }

    /// Something to mend in this line: what is wrong, and what to do.
    pub(crate) fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }
}

impl Finding {
    /// Something to mend in a file that is not there.
    pub(crate) fn missing(path: &str, what: impl Into<String>) -> Self {
        Self { path: path.to_string(), line: 1, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Asserts what a check finds in one file: the line and a part of the sentence, for each finding.
#[cfg(test)]
pub(crate) fn assert_finds(
    check: fn(&House) -> Vec<Finding>,
    path: &str,
    text: &str,
    expected: &[(usize, &str)],
) {
    let found = check(&House::of(&[(path, text)]));
    let fits = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(finding, (line, part))| finding.line == *line && finding.what.contains(part));
    assert!(fits, "expected {expected:?}, found {found:?}");
}

//! Checks the tree against STYLE.md, as far as a machine can.
//!
//! A check is a function from the [`House`] to its findings, in a file of its own that ends with
//! the bad examples it must catch. A rule of STYLE.md worth repeating becomes another such file.

mod source;
mod house;

mod classes;
mod docs;
mod fence;
mod imports;
mod manifests;
mod mirror;
mod modules;
mod names;
mod places;
mod platforms;
mod shape;

use std::fmt::Write;
use std::io;
use std::path::Path;

use self::house::{Finding, House};

/// What the machine holds, in the order of STYLE.md's rules.
const CHECKS: &[fn(&House) -> Vec<Finding>] = &[
    names::check,
    shape::check,
    modules::check,
    imports::check,
    docs::check,
    fence::check,
    mirror::check,
    classes::check,
    platforms::check,
    manifests::check,
    places::check,
];

/// Every finding on a line of its own, and whether there was none.
pub(crate) fn check(root: &Path) -> io::Result<(String, bool)> {
    let house = House::open(root)?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&house)).collect();
    findings.sort();
    let mut text = String::new();
    for finding in &findings {
        let _ = writeln!(text, "{finding}");
    }
    let files = house.files.len();
    let _ = match findings.len() {
        0 => writeln!(text, "tidy: {files} files, nothing to mend"),
        count => writeln!(text, "tidy: {files} files, {count} to mend"),
    };
    Ok((text, findings.is_empty()))
}

/// The table that ARCHITECTURE.md must show.
pub(crate) fn unsafe_table(root: &Path) -> io::Result<String> {
    Ok(fence::table(&House::open(root)?))
}

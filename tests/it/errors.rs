//! `docs/errors.md` explains exactly the error classes that a run can count.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files and folders that name error classes.
const SOURCES: [&str; 3] = ["src/fleet", "src/link/dial_error.rs", "src/session/types.rs"];

/// Quoted words in these files that look like a class but are not.
const OTHER_WORDS: [&str; 1] = ["client_id"];

fn sources(path: &Path, out: &mut Vec<PathBuf>) {
    if path.is_dir() {
        fs::read_dir(path)
            .expect("a readable file")
            .for_each(|entry| sources(&entry.expect("a readable entry").path(), out));
    } else if !path.to_string_lossy().contains("tests") {
        out.push(path.to_owned());
    }
}

/// Returns the quoted words of a source, without comments and unit tests.
fn words(source: &str) -> BTreeSet<String> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let quoted = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    let is_word = |text: &&str| {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    quoted.filter(is_word).map(str::to_owned).collect()
}

#[test]
fn every_error_class_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    SOURCES.iter().for_each(|path| sources(&root.join(path), &mut files));
    let named: BTreeSet<String> =
        files.iter().flat_map(|file| words(&fs::read_to_string(file).expect("UTF-8"))).collect();
    let page = fs::read_to_string(root.join("docs/errors.md")).expect("the page exists");
    // A row has one or more classes and their culprit. Rows of findings have no culprit.
    let rows = page
        .lines()
        .filter(|line| [" | peer |", " | network |", " | us |"].iter().any(|by| line.contains(by)));
    let classes =
        rows.filter_map(|row| row.split(" | ").next()).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let explained: BTreeSet<String> = classes.map(str::to_owned).collect();
    assert!(explained.len() > 30, "the page cannot be parsed: {explained:?}");
    for class in &explained {
        assert!(named.contains(class), "docs/errors.md explains {class}, which no source names");
    }
    for word in named.iter().filter(|word| word.contains('_') && !OTHER_WORDS.contains(&word.as_str())) {
        assert!(
            explained.contains(word),
            "docs/errors.md does not explain {word}; if it is not a class, add it to OTHER_WORDS"
        );
    }
}

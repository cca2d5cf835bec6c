//! Tidiness is a test: the layer table of ARCHITECTURE.md, import circles, module docs, sizes, words, and which room may name what.
//!
//! The rules are functions over sources, so that the tests in `tidy/checks.rs` can show each of them failing on a made-up one.

#![expect(unreachable_pub, reason = "a test binary has no outside; its modules say what is theirs to use")]

#[path = "tidy/checks.rs"]
mod checks;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use imports::Imports;
use source::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Without `#[cfg(test)]` items.
const FILE_LINES_MAX: usize = 500;
/// The tests of a longer file are in a file beside it.
const FILE_WITH_TESTS_LINES_MAX: usize = 300;
/// A function longer than this does more than one thing.
const FUNCTION_LINES_MAX: usize = 70;
const TEST_NAME_CHARS_MAX: usize = 59;
/// Up to this layer, only `link` and `clock` use sockets, threads or clocks. The other rooms take the time as an argument.
const PURE_LAYER_MAX: u8 = 2;

#[test]
fn the_project_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(root, root, &mut files);
    let sources: Vec<Source> = files
        .iter()
        .filter(|path| has_extension(path, "rs"))
        .map(|path| Source::new(path, &fs::read_to_string(root.join(path)).expect("a source is UTF-8")))
        .collect();
    assert!(
        sources.iter().filter(|source| source.path.starts_with("src/")).count() > 10,
        "the walk lost src/"
    );
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let table = Table::parse(&architecture);

    let mut complaints = judge(&sources, &table);
    for path in &files {
        // Binary files are skipped.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            complaints.extend(private_mentions(path, &text));
            if is_prose(path) {
                complaints.extend(words::complaints(path, &text));
            }
            if has_extension(path, "md") && path != "CHANGELOG.md" {
                complaints.extend(missing_paths(path, &text, &|named| root.join(named).exists()));
            }
        }
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("Cargo.toml is there");
    complaints.extend(unexplained_dependencies(&manifest));
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Collects the files of the project below `dir`, relative to `root`, without built, fetched and generated ones.
fn collect(root: &Path, dir: &Path, files: &mut Vec<String>) {
    const SKIPPED: [&str; 9] =
        ["target", ".git", ".venv", ".venv-sdk", "node_modules", "reports", "certs", "artifacts", "corpus"];
    let mut entries: Vec<_> =
        fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable").path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() && !SKIPPED.contains(&name.as_str()) {
            collect(root, &path, files);
        } else if path.is_file() {
            files.push(path.strip_prefix(root).expect("below root").to_string_lossy().replace('\\', "/"));
        }
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|e| e == extension)
}

/// Whether a person reads the words of this file. The list of refused words does not count.
fn is_prose(path: &str) -> bool {
    let extensions = ["rs", "md", "toml", "html", "css", "json", "sh", "py", "js", "snap"];
    extensions.iter().any(|extension| has_extension(path, extension))
        && !matches!(path, "tests/tidy/words.rs" | "tests/tidy/checks.rs" | "deny.toml")
        && !path.ends_with("package-lock.json")
}

/// Applies all rules for Rust sources.
fn judge(sources: &[Source], table: &Table) -> Vec<String> {
    let mut complaints = table.cycles();
    let test_files = test_files(sources);
    let product: Vec<&Source> = sources.iter().filter(|source| is_product(source, &test_files)).collect();
    complaints.extend(Imports::new(&product).circles());
    let rooms: BTreeSet<&str> = product.iter().filter_map(|source| source.room()).collect();
    for room in table.rows.keys().filter(|row| !rooms.contains(row.as_str())) {
        complaints
            .push(format!("ARCHITECTURE.md: the layer table has a row for {room}, which is not in src/"));
    }
    for room in rooms.iter().filter(|room| !table.rows.contains_key(**room)) {
        complaints.push(format!("src/{room}: has no row in the layer table of ARCHITECTURE.md"));
    }
    for source in sources {
        if !source.text.trim_start().starts_with("//!") {
            complaints.push(format!("{}: does not open with //!", source.path));
        }
        complaints.extend(lint_switches(source));
        complaints.extend(test_names(source));
        if is_product(source, &test_files) {
            complaints.extend(imports(source, table));
            complaints.extend(names(source, table));
            complaints.extend(sizes(source));
        } else {
            complaints.extend(test_sizes(source));
            if source.path.starts_with("tests/") {
                complaints.extend(naps(source));
            }
        }
    }
    complaints
}

/// Path stems (`src/pair_tests`) of the modules declared under `#[cfg(test)]`.
fn test_files(sources: &[Source]) -> BTreeSet<String> {
    let mut stems = BTreeSet::new();
    for source in sources.iter().filter(|source| source.path.starts_with("src/")) {
        let folder: String = source.module().iter().fold("src/".to_owned(), |path, part| path + part + "/");
        stems.extend(source.test_modules.iter().map(|module| format!("{folder}{module}")));
    }
    stems
}

fn is_product(source: &Source, test_files: &BTreeSet<String>) -> bool {
    let stem = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
    let is_test = test_files.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/")));
    source.path.starts_with("src/") && !is_test
}

/// The layer table of ARCHITECTURE.md.
struct Table {
    rows: BTreeMap<String, Row>,
}

struct Row {
    layer: u8,
    /// The rooms it may import. `None` means all.
    may: Option<BTreeSet<String>>,
}

impl Table {
    /// Rows look like "| L3 | `fleet` | plan session wire |"; the last column may say `everything` or `nothing`.
    fn parse(markdown: &str) -> Table {
        let mut rows = BTreeMap::new();
        for line in markdown.lines().filter(|line| line.starts_with("| L")) {
            let cells: Vec<&str> =
                line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let [layer, room, may] = cells[..] else {
                panic!("a row of the layer table has three cells: {line}")
            };
            let layer = layer.trim_start_matches('L').parse().expect("a layer is a number");
            let may = match may {
                "everything" => None,
                "nothing" => Some(BTreeSet::new()),
                rooms => Some(rooms.split_whitespace().map(str::to_owned).collect()),
            };
            assert!(rows.insert(room.to_owned(), Row { layer, may }).is_none(), "two rows for {room}");
        }
        assert!(!rows.is_empty(), "ARCHITECTURE.md has no layer table");
        Table { rows }
    }

    /// A room may import lower layers, and its own layer if that makes no circle.
    fn cycles(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (room, row) in &self.rows {
            for other in row.may.iter().flatten() {
                match self.rows.get(other) {
                    None => complaints
                        .push(format!("ARCHITECTURE.md: {room} may import {other}, which has no row")),
                    Some(lower) if lower.layer > row.layer => {
                        complaints
                            .push(format!("ARCHITECTURE.md: {room} may import {other}, which is above it"));
                    }
                    Some(_) if self.leads_to(other, room, &mut BTreeSet::new()) => {
                        complaints.push(format!("ARCHITECTURE.md: {room} and {other} may import each other"));
                    }
                    Some(_) => {}
                }
            }
        }
        complaints
    }

    fn leads_to(&self, from: &str, to: &str, seen: &mut BTreeSet<String>) -> bool {
        from == to
            || seen.insert(from.to_owned())
                && self
                    .rows
                    .get(from)
                    .is_some_and(|row| row.may.iter().flatten().any(|next| self.leads_to(next, to, seen)))
    }
}

fn imports(source: &Source, table: &Table) -> Vec<String> {
    let Some((room, Some(may))) =
        source.room().and_then(|room| Some((room, table.rows.get(room)?.may.as_ref())))
    else {
        return Vec::new();
    };
    let forbidden = |name: &str| name != room && !may.contains(name);
    source
        .reaches()
        .into_iter()
        .filter(|(name, _)| forbidden(name))
        .map(|(name, line)| format!("{}:{line}: {room} may not import {name}", source.path))
        .collect()
}

/// Checks names that are reserved for some rooms.
fn names(source: &Source, table: &Table) -> Vec<String> {
    let path = source.path.as_str();
    let room = source.room().unwrap_or_default();
    let is_pure = table.rows.get(room).is_some_and(|row| row.layer <= PURE_LAYER_MAX)
        && !matches!(room, "link" | "clock");
    let mut bans = Vec::new();
    if room != "wire" {
        bans.push(("mqttbytes", "only wire knows the codec"));
    }
    if room != "cli" && path != "src/main.rs" {
        bans.push(("clap", "only cli and main.rs know what was typed"));
    }
    if !path.starts_with("src/link/listen") {
        bans.push(("TcpListener::bind", "listeners are bound through link::listen"));
    }
    match room {
        "link" if !path.starts_with("src/link/listen") => {
            bans.push((".listen(", "only link::listen listens"))
        }
        "link" => {}
        _ => bans.push(("socket2", "only link makes sockets")),
    }
    if is_pure {
        for name in ["tokio", "std::net", "std::thread", "Instant::now", "SystemTime::now"] {
            bans.push((name, "below link nothing sees a socket, a thread or a clock"));
        }
    }
    bans.into_iter()
        .flat_map(|(name, why)| {
            Source::lines_naming(&source.product, name).into_iter().map(move |line| (name, why, line))
        })
        .map(|(name, why, line)| format!("{path}:{line}: names {name}: {why}"))
        .collect()
}

fn sizes(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = source.product_lines();
    if lines > FILE_LINES_MAX {
        complaints.push(format!("{}: {lines} lines without tests, of at most {FILE_LINES_MAX}", source.path));
    }
    let all = source.text.lines().count();
    if all > FILE_WITH_TESTS_LINES_MAX && source.has_inline_tests() {
        complaints.push(format!(
            "{}: {all} lines with its tests; over {FILE_WITH_TESTS_LINES_MAX}, they stand in a file beside it",
            source.path
        ));
    }
    for (name, line, lines) in
        source.functions().into_iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX)
    {
        complaints.push(format!(
            "{}:{line}: fn {name} has {lines} lines, of at most {FUNCTION_LINES_MAX}",
            source.path
        ));
    }
    complaints
}

/// The limit for product files also holds for files of tests.
fn test_sizes(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let complaint = || format!("{}: {lines} lines, of at most {FILE_LINES_MAX}", source.path);
    (lines > FILE_LINES_MAX).then(complaint).into_iter().collect()
}

/// A test name must fit on one line of the test report, in the words of the prose.
fn test_names(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, line) in source.tests() {
        let chars = name.len();
        if chars > TEST_NAME_CHARS_MAX {
            let limit = format!("{chars} characters, of at most {TEST_NAME_CHARS_MAX}");
            complaints.push(format!("{}:{line}: test {name} has {limit}", source.path));
        }
        complaints.extend(words::complaints(&source.path, &name.replace('_', " ")));
    }
    complaints
}

/// `expect` needs a reason here, and the compiler reports it when it is no longer needed. `allow` has neither.
fn lint_switches(source: &Source) -> Vec<String> {
    ["#[allow(", "#![allow(", ", allow("]
        .into_iter()
        .flat_map(|switch| Source::lines_naming(&source.code, switch))
        .map(|line| format!("{}:{line}: use #[expect(lint, reason = ..)] instead of allow", source.path))
        .collect()
}

/// A test must wait for an event, not for a length of time.
fn naps(source: &Source) -> Vec<String> {
    [concat!("thread::", "sleep"), concat!("time::", "sleep(")]
        .into_iter()
        .flat_map(|nap| Source::lines_naming(&source.code, nap))
        .map(|line| format!("{}:{line}: sleeps; wait for the event itself", source.path))
        .collect()
}

/// Paths and documents that readers of the project do not have.
fn private_mentions(path: &str, text: &str) -> Vec<String> {
    [concat!("..", "/shared"), concat!("contracts", ".md")]
        .into_iter()
        .filter(|mention| text.contains(mention))
        .map(|mention| format!("{path}: mentions {mention}, which no reader has"))
        .collect()
}

/// A page must not name a file that was moved or deleted. The changelog may.
fn missing_paths(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    const FOLDERS: [&str; 5] = ["src/", "tests/", "docs/", "benches/", "fuzz/"];
    // Commands, patterns and generated folders are not checked.
    const OTHER: [&str; 8] = [" ", "*", "{", "<", "..", "node_modules", ".venv", "artifacts"];
    let is_path = |code: &str| {
        FOLDERS.iter().any(|folder| code.starts_with(folder)) && !OTHER.iter().any(|part| code.contains(part))
    };
    text.lines()
        .enumerate()
        .flat_map(|(i, line)| line.split('`').skip(1).step_by(2).map(move |code| (i + 1, code)))
        .filter(|(_, code)| is_path(code) && !exists(code))
        .map(|(line, code)| format!("{path}:{line}: names {code}, which does not exist"))
        .collect()
}

/// Every dependency in Cargo.toml must have its reason on the same line.
fn unexplained_dependencies(manifest: &str) -> Vec<String> {
    let mut in_dependencies = false;
    let mut complaints = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies && line.contains('=') && !line.starts_with('#') && !line.contains(" # ") {
            complaints.push(format!("Cargo.toml: a dependency without its reason: {line}"));
        }
    }
    complaints
}

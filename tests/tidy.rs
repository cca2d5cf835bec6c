//! Tidiness is a test: the layer table of ARCHITECTURE.md, module docs, sizes, and who may name what.
//!
//! The rules are functions over sources, so that the tests below can show each of them failing on a made-up one.

#![expect(unreachable_pub, reason = "a test binary has no outside; its modules say what is theirs to use")]

#[path = "tidy/source.rs"]
mod source;

use source::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Not counting `#[cfg(test)]` items.
const FILE_LINES_MAX: usize = 500;
/// A function longer than this does more than one thing.
const FUNCTION_LINES_MAX: usize = 100;
/// The highest layer that, but for `link` and the clock itself, is told the time and never sees a socket.
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
        // What is not text has nothing to say here.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            complaints.extend(private_mentions(path, &text));
        }
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("Cargo.toml is there");
    complaints.extend(unexplained_dependencies(&manifest));
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Every file of the project below `dir`, relative to `root`; not what is built, fetched or generated.
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

/// All rules that look at Rust sources.
fn judge(sources: &[Source], table: &Table) -> Vec<String> {
    let mut complaints = table.cycles();
    let test_files = test_files(sources);
    let rooms: BTreeSet<&str> =
        sources.iter().filter(|s| is_product(s, &test_files)).filter_map(Source::room).collect();
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
        if is_product(source, &test_files) {
            complaints.extend(imports(source, table));
            complaints.extend(names(source, table));
            complaints.extend(sizes(source));
        } else if source.path.starts_with("tests/") {
            complaints.extend(naps(source));
        }
    }
    complaints
}

/// Files whose module is declared under `#[cfg(test)]`, as path stems: `src/pair_tests`.
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

/// Who may import whom: the table under "Who may import whom" of ARCHITECTURE.md.
struct Table {
    rows: BTreeMap<String, Row>,
}

struct Row {
    layer: u8,
    /// `None` may import everything.
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

    /// A room may import lower layers, and its own layer as long as nobody comes back to where they started.
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

/// What only some may name.
fn names(source: &Source, table: &Table) -> Vec<String> {
    let path = source.path.as_str();
    let room = source.room().unwrap_or_default();
    let is_pure = table.rows.get(room).is_some_and(|row| row.layer <= PURE_LAYER_MAX)
        && !matches!(room, "link" | "clock");
    let mut bans = Vec::new();
    if room != "wire" {
        bans.push(("mqttbytes", "only wire knows the codec"));
    }
    if !matches!(path, "src/cli.rs" | "src/main.rs") {
        bans.push(("clap", "only cli.rs and main.rs know what was typed"));
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

/// A silenced lint says why, and is noticed when there is nothing left to silence.
fn lint_switches(source: &Source) -> Vec<String> {
    ["#[allow(", "#![allow(", ", allow("]
        .into_iter()
        .flat_map(|switch| Source::lines_naming(&source.code, switch))
        .map(|line| format!("{}:{line}: use #[expect(lint, reason = ..)] instead of allow", source.path))
        .collect()
}

/// A test waits for what it wants to see, never for luck.
fn naps(source: &Source) -> Vec<String> {
    [concat!("thread::", "sleep"), concat!("time::", "sleep(")]
        .into_iter()
        .flat_map(|nap| Source::lines_naming(&source.code, nap))
        .map(|line| format!("{}:{line}: sleeps; wait for the event itself", source.path))
        .collect()
}

/// Paths and papers that no reader of the project has.
fn private_mentions(path: &str, text: &str) -> Vec<String> {
    [concat!("..", "/shared"), concat!("contracts", ".md")]
        .into_iter()
        .filter(|mention| text.contains(mention))
        .map(|mention| format!("{path}: mentions {mention}, which no reader has"))
        .collect()
}

/// Every dependency in Cargo.toml has its reason on the same line.
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

/// The checker on made-up sources: each rule is seen to fail.
mod checks {
    use super::*;

    fn table() -> Table {
        Table::parse(
            "text | L9 | no row\n\
             | layer | room | may import |\n|---|---|---|\n\
             | L5 | `app` | everything |\n\
             | L2 | `link` | sansio clock |\n\
             | L1 | `session` | wire sansio |\n\
             | L0 | `wire` | nothing |\n| L0 | `sansio` | nothing |\n| L0 | `clock` | nothing |\n",
        )
    }

    /// The complaints about one file, beside a minimal good tree.
    fn about(path: &str, text: &str) -> Vec<String> {
        let mut tree: BTreeMap<&str, &str> = [
            ("src/lib.rs", "//! Root.\npub mod wire;"),
            ("src/app/mod.rs", "//! App."),
            ("src/link/mod.rs", "//! Link."),
            ("src/session/mod.rs", "//! Session."),
            ("src/wire/mod.rs", "//! Wire."),
            ("src/sansio.rs", "//! Sansio."),
            ("src/clock.rs", "//! Clock."),
        ]
        .into();
        tree.insert(path, text);
        let sources: Vec<Source> = tree.into_iter().map(|(path, text)| Source::new(path, text)).collect();
        judge(&sources, &table())
    }

    fn one(complaints: &[String], part: &str) {
        assert!(
            matches!(complaints, [only] if only.contains(part)),
            "wanted one with {part:?}: {complaints:#?}"
        );
    }

    #[test]
    fn the_good_tree_is_good() {
        assert_eq!(about("src/wire/mod.rs", "//! Wire.\nuse mqttbytes::QoS;"), Vec::<String>::new());
    }

    #[test]
    fn an_edge_outside_the_table_is_found_however_it_is_written() {
        for edge in [
            "use crate::link::Link;",
            "use crate::{sansio, link::Link};",
            "use crate::{sansio::{Close, Closed},\n    link::{Link, dial}};",
            "fn f() -> crate::link::Link { todo() }",
            "use super::link::Link;",
            "pub use crate::link;",
        ] {
            one(
                &about("src/session/mod.rs", &format!("//! Session.\n{edge}\n")),
                "session may not import link",
            );
        }
        one(
            &about("src/session/acks.rs", "//! Acks.\nuse super::super::link::Link;"),
            "acks.rs:2: session may not import link",
        );
        one(&about("src/wire/mod.rs", "//! Wire.\nuse crate::nowhere::X;"), "wire may not import nowhere");
    }

    #[test]
    fn edges_that_are_allowed_or_not_there_are_left_alone() {
        for fine in [
            "use crate::{sansio, wire::{Packet, link}};",
            "use super::acks::Acks;\nuse crate::session::acks;",
            "// crate::link is not for us\n/* crate::link /* nor */ crate::link */",
            "const A: &str = \"crate::link\"; const B: &str = r#\"\"crate::link\"#;",
            "fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' || c == 'x' }",
            "#[cfg(test)]\nmod tests {\n    use crate::link::Link;\n}",
            "#[cfg(test)]\nuse crate::link::{Link, dial};\nfn f() {}",
            "enum T {\n    #[cfg(test)]\n    Duplex(crate::link::Link),\n    Tcp,\n}",
        ] {
            assert_eq!(
                about("src/session/acks.rs", &format!("//! Acks.\n{fine}\n")),
                Vec::<String>::new(),
                "{fine}"
            );
        }
        assert_eq!(
            about("src/app/mod.rs", "//! App.\nuse crate::{link, session, wire};"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_follows_a_test_item_is_still_read() {
        let text = "//! S.\n#[cfg(test)]\nuse crate::link::{Link, dial};\nuse crate::link::Link;\n";
        one(&about("src/session/mod.rs", text), "mod.rs:4: session may not import link");
        let text = "//! S.\nenum T {\n    #[cfg(test)]\n    Duplex(u8),\n    Tcp(crate::link::Link),\n}\n";
        one(&about("src/session/mod.rs", text), "mod.rs:5: session may not import link");
    }

    #[test]
    fn a_test_module_in_its_own_file_is_exempt_and_a_module_of_that_name_is_not() {
        let test = Source::new("src/session/tests.rs", "//! Tests.\nuse crate::link::Link;");
        let parent = |text| Source::new("src/session/mod.rs", text);
        let declared = [parent("//! S.\n#[cfg(test)]\nmod tests;"), test];
        assert!(!is_product(&declared[1], &test_files(&declared)));
        let [_, test] = declared;
        let declared = [parent("//! S.\nmod tests;"), test];
        assert!(is_product(&declared[1], &test_files(&declared)));
    }

    #[test]
    fn rooms_and_rows_match() {
        one(&about("src/attic/mod.rs", "//! Attic."), "src/attic: has no row");
        let sources = [Source::new("src/wire.rs", "//! Wire.")];
        let table = Table::parse("| L0 | `wire` | nothing |\n| L0 | `rng` | nothing |");
        one(&judge(&sources, &table), "a row for rng");
    }

    #[test]
    fn a_table_that_goes_up_or_round_is_refused() {
        let table = Table::parse("| L1 | `a` | b |\n| L1 | `b` | c |\n| L1 | `c` | a |");
        assert_eq!(table.cycles().len(), 3);
        one(&Table::parse("| L0 | `a` | b |\n| L1 | `b` | nothing |").cycles(), "b, which is above it");
        one(&Table::parse("| L0 | `a` | b |").cycles(), "b, which has no row");
    }

    #[test]
    fn every_file_says_what_it_is() {
        one(&about("src/wire/mod.rs", "use mqttbytes::QoS;"), "does not open with //!");
        one(&about("tests/it/main.rs", "mod cli;"), "does not open with //!");
    }

    #[test]
    fn names_stay_in_their_rooms() {
        one(&about("src/session/mod.rs", "//! S.\nuse mqttbytes::v4;"), "mod.rs:2: names mqttbytes");
        one(&about("src/app/mod.rs", "//! A.\nuse clap::Parser;"), "names clap");
        one(
            &about("src/app/mod.rs", "//! A.\nfn f() { std::net::TcpListener::bind(a); }"),
            "names TcpListener::bind",
        );
        one(&about("src/app/mod.rs", "//! A.\nuse socket2::Socket;"), "names socket2");
        one(&about("src/link/mod.rs", "//! L.\nfn f() { socket.listen(9); }"), "names .listen(");
        for name in
            ["tokio::net::TcpStream", "std::net::TcpStream", "std::thread::spawn", "std::time::Instant::now"]
        {
            one(&about("src/session/mod.rs", &format!("//! S.\nuse {name};")), "below link");
            assert_eq!(about("src/link/mod.rs", &format!("//! L.\nuse {name};")), Vec::<String>::new());
        }
        assert_eq!(about("src/app/mod.rs", "//! A.\nfn clapped() { config.listen() }"), Vec::<String>::new());
    }

    #[test]
    fn sizes_count_the_product_only() {
        let long = "//! W.\n".to_owned() + &"const A: u8 = 1;\n".repeat(FILE_LINES_MAX);
        one(&about("src/wire/mod.rs", &long), "501 lines without tests");
        let tested = format!(
            "//! W.\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "const A: u8 = 1;\n".repeat(FILE_LINES_MAX)
        );
        assert_eq!(about("src/wire/mod.rs", &tested), Vec::<String>::new());
        let function = format!(
            "//! W.\npub(crate) fn long(a: [u8; 2]) {{\n{}}}\n",
            "    f();\n".repeat(FUNCTION_LINES_MAX - 1)
        );
        one(&about("src/wire/mod.rs", &function), "mod.rs:2: fn long has 101 lines");
    }

    #[test]
    fn switches_and_naps_are_found() {
        one(&about("src/wire/mod.rs", "//! W.\n#[allow(dead_code)]\nfn f() {}"), "instead of allow");
        one(&about("tests/it/x.rs", "//! X.\n#![allow(dead_code)]"), "instead of allow");
        one(
            &about("src/wire/mod.rs", "//! W.\n#[cfg_attr(test, allow(dead_code))]\nfn f() {}"),
            "instead of allow",
        );
        one(&about("tests/it/x.rs", concat!("//! X.\nfn f() { std::thread::", "sleep(d); }")), "sleeps");
        one(
            &about("tests/it/x.rs", concat!("//! X.\nasync fn f() { tokio::time::", "sleep(d).await; }")),
            "sleeps",
        );
    }

    #[test]
    fn private_papers_and_unexplained_dependencies_are_found() {
        assert_eq!(private_mentions("README.md", concat!("see ..", "/shared/x")).len(), 1);
        assert_eq!(private_mentions("README.md", "a shared folder").len(), 0);
        let manifest = "[dependencies]\na = \"1\" # why\nb = \"1\"\n[lints.rust]\nmissing_docs = \"warn\"\n";
        one(&unexplained_dependencies(manifest), "b = \"1\"");
    }
}

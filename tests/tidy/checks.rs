//! Shows each rule fail on a made-up source.

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
    assert!(matches!(complaints, [only] if only.contains(part)), "wanted one with {part:?}: {complaints:#?}");
}

#[test]
fn a_tidy_tree_has_no_complaints() {
    assert_eq!(about("src/wire/mod.rs", "//! Wire.\nuse mqttbytes::QoS;"), Vec::<String>::new());
}

#[test]
fn an_import_outside_the_table_is_found() {
    for edge in [
        "use crate::link::Link;",
        "use crate::{sansio, link::Link};",
        "use crate::{sansio::{Close, Closed},\n    link::{Link, dial}};",
        "fn f() -> crate::link::Link { todo() }",
        "use super::link::Link;",
        "pub use crate::link;",
    ] {
        one(&about("src/session/mod.rs", &format!("//! Session.\n{edge}\n")), "session may not import link");
    }
    one(
        &about("src/session/acks.rs", "//! Acks.\nuse super::super::link::Link;"),
        "acks.rs:2: session may not import link",
    );
    one(&about("src/wire/mod.rs", "//! Wire.\nuse crate::nowhere::X;"), "wire may not import nowhere");
}

#[test]
fn allowed_imports_and_mere_mentions_pass() {
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
    assert_eq!(about("src/app/mod.rs", "//! App.\nuse crate::{link, session, wire};"), Vec::<String>::new());
}

#[test]
fn code_after_a_test_item_is_read() {
    let text = "//! S.\n#[cfg(test)]\nuse crate::link::{Link, dial};\nuse crate::link::Link;\n";
    one(&about("src/session/mod.rs", text), "mod.rs:4: session may not import link");
    let text = "//! S.\nenum T {\n    #[cfg(test)]\n    Duplex(u8),\n    Tcp(crate::link::Link),\n}\n";
    one(&about("src/session/mod.rs", text), "mod.rs:5: session may not import link");
}

#[test]
fn only_modules_under_cfg_test_are_exempt() {
    let test = Source::new("src/session/tests.rs", "//! Tests.\nuse crate::link::Link;");
    let parent = |text| Source::new("src/session/mod.rs", text);
    let declared = [parent("//! S.\n#[cfg(test)]\nmod tests;"), test];
    assert!(!is_product(&declared[1], &test_files(&declared)));
    let [_, test] = declared;
    let declared = [parent("//! S.\nmod tests;"), test];
    assert!(is_product(&declared[1], &test_files(&declared)));
}

#[test]
fn rooms_and_rows_must_match() {
    one(&about("src/attic/mod.rs", "//! Attic."), "src/attic: has no row");
    let sources = [Source::new("src/wire.rs", "//! Wire.")];
    let table = Table::parse("| L0 | `wire` | nothing |\n| L0 | `rng` | nothing |");
    one(&judge(&sources, &table), "a row for rng");
}

#[test]
fn a_table_with_upward_rows_or_circles_is_refused() {
    let table = Table::parse("| L1 | `a` | b |\n| L1 | `b` | c |\n| L1 | `c` | a |");
    assert_eq!(table.cycles().len(), 3);
    one(&Table::parse("| L0 | `a` | b |\n| L1 | `b` | nothing |").cycles(), "b, which is above it");
    one(&Table::parse("| L0 | `a` | b |").cycles(), "b, which has no row");
}

#[test]
fn every_file_starts_with_a_module_comment() {
    one(&about("src/wire/mod.rs", "use mqttbytes::QoS;"), "does not open with //!");
    one(&about("tests/it/main.rs", "mod cli;"), "does not open with //!");
}

#[test]
fn reserved_names_are_found_elsewhere() {
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
fn size_limits_exclude_test_code() {
    let long = "//! W.\n".to_owned() + &"const A: u8 = 1;\n".repeat(FILE_LINES_MAX);
    one(&about("src/wire/mod.rs", &long), "501 lines without tests");
    let tested =
        format!("//! W.\n#[cfg(test)]\nmod samples {{\n{}}}\n", "const A: u8 = 1;\n".repeat(FILE_LINES_MAX));
    assert_eq!(about("src/wire/mod.rs", &tested), Vec::<String>::new());
    let function = format!(
        "//! W.\npub(crate) fn long(a: [u8; 2]) {{\n{}}}\n",
        "    f();\n".repeat(FUNCTION_LINES_MAX - 1)
    );
    one(&about("src/wire/mod.rs", &function), "mod.rs:2: fn long has 71 lines");
}

#[test]
fn allow_attributes_and_sleeps_are_found() {
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
fn private_paths_and_unexplained_dependencies_are_found() {
    assert_eq!(private_mentions("README.md", concat!("see ..", "/shared/x")).len(), 1);
    assert_eq!(private_mentions("README.md", "a shared folder").len(), 0);
    let manifest = "[dependencies]\na = \"1\" # why\nb = \"1\"\n[lints.rust]\nmissing_docs = \"warn\"\n";
    one(&unexplained_dependencies(manifest), "b = \"1\"");
}

/// The complaints about two files of one room, beside a minimal good tree.
fn about_two(first: &str, second: &str) -> Vec<String> {
    let sources = [
        Source::new("src/lib.rs", "//! Root.\npub mod wire;"),
        Source::new("src/wire/mod.rs", "//! Wire.\nmod a;\nmod b;\npub use a::A;\npub use b::*;"),
        Source::new("src/wire/a.rs", first),
        Source::new("src/wire/b.rs", second),
    ];
    judge(&sources, &Table::parse("| L0 | `wire` | nothing |"))
}

#[test]
fn every_form_of_mutual_import_is_a_circle() {
    let b = "//! B.\nuse super::A;\npub struct B(A);";
    for edge in [
        "use super::b::B;",
        "use super::B;",
        "use crate::wire::B;",
        "use crate::wire::{self, b::{B}};",
        "use super::b as other;",
        "use super::b::*;",
        "fn f() -> super::B { super::b::B::new() }",
    ] {
        let complaints = about_two(&format!("//! A.\n{edge}\npub struct A;"), b);
        one(&complaints, "src/wire/a.rs:2 imports src/wire/b.rs, src/wire/b.rs:2 imports src/wire/a.rs");
    }
}

#[test]
fn one_way_imports_are_no_circle() {
    for (first, second) in [
        ("//! A.\nuse super::B;\npub struct A(B);", "//! B.\npub struct B;"),
        ("//! A.\nuse super::B;\npub struct A(B);", "//! B.\n#[cfg(test)]\nuse super::A;\npub struct B;"),
        ("//! A.\nuse super::B;\npub struct A(B);", "//! B. See super::A.\npub struct B;"),
    ] {
        assert_eq!(about_two(first, second), Vec::<String>::new());
    }
}

#[test]
fn mutual_use_of_parent_and_child_is_a_circle() {
    let child = Source::new("src/wire/a.rs", "//! A.\nuse super::Limit;\npub struct A(Limit);");
    let parent = |text| Source::new("src/wire/mod.rs", text);
    let judged = |parent| Imports::new(&[&parent, &child]).circles();
    assert_eq!(judged(parent("//! W.\nmod a;\npub use a::A;\npub struct Limit;")), Vec::<String>::new());
    one(&judged(parent("//! W.\nmod a;\nuse a::A;\npub struct Limit;")), "mod.rs:3 imports src/wire/a.rs");
    one(&judged(parent("//! W.\nmod a;\npub struct Limit;\nfn f() { a::f() }")), "mod.rs:4 imports");
}

#[test]
fn a_circle_of_three_files_is_reported_in_order() {
    let file = |name: &str, next: &str| {
        let text = format!("//! W.\nuse super::{next}::Of{next};\npub struct Of{name};");
        Source::new(&format!("src/wire/{name}.rs"), &text)
    };
    let files = [file("a", "b"), file("b", "c"), file("c", "a")];
    let circles = Imports::new(&files.iter().collect::<Vec<_>>()).circles();
    one(
        &circles,
        "src/wire/a.rs:2 imports src/wire/b.rs, src/wire/b.rs:2 imports src/wire/c.rs, src/wire/c.rs:2",
    );
}

#[test]
fn long_test_names_and_long_test_files_are_found() {
    let name = "a".repeat(TEST_NAME_CHARS_MAX + 1);
    one(&about("tests/it/x.rs", &format!("//! X.\n#[test]\nfn {name}() {{}}")), "has 60 characters");
    one(
        &about(
            "tests/it/x.rs",
            &format!("//! X.\n#[tokio::test(start_paused = true)]\nasync fn {name}() {{}}"),
        ),
        "x.rs:2: test aaa",
    );
    one(&about("tests/it/x.rs", &"//! X.\n".repeat(FILE_LINES_MAX + 1)), "501 lines, of at most 500");
}

#[test]
fn a_long_file_with_inline_tests_is_found() {
    let padding = "const A: u8 = 1;\n".repeat(FILE_WITH_TESTS_LINES_MAX);
    let inline = format!("//! W.\n{padding}#[cfg(test)]\nmod tests {{\n    fn f() {{}}\n}}\n");
    one(&about("src/wire/mod.rs", &inline), "305 lines with its tests");
    let beside = format!("//! W.\n{padding}#[cfg(test)]\nmod tests;\n");
    assert_eq!(about("src/wire/mod.rs", &beside), Vec::<String>::new());
}

#[test]
fn phrases_are_found_in_prose_comments_and_names() {
    let complaints = |text: &str| words::complaints("x.md", text);
    one(&complaints("Text.\nThere is Nobody here.\n"), "x.md:2: says \"nobody\"");
    one(&about("tests/it/x.rs", "//! X.\n#[test]\nfn what_is_due_is_sent() {}"), "says \"what is due\"");
    one(&complaints("/// Sends what is\n/// due now."), "x.md:1: says \"what is due\"");
    one(&complaints("the behaviour"), "write behavior");
    assert_eq!(complaints("a busybody; the due messages; the license"), Vec::<String>::new());
}

#[test]
fn pages_that_name_missing_files_are_found() {
    let missing = |text: &str| missing_paths("x.md", text, &|path| path == "src/wire/mod.rs");
    one(&missing("See `src/wire/mod.rs` and\n`src/wire/gone.rs`."), "x.md:2: names src/wire/gone.rs");
    assert_eq!(missing("`tests/run 5`, `src/*/mod.rs`, `wire/gone.rs`, src/gone.rs"), Vec::<String>::new());
}

//! A small lexer for Rust that blanks comments and literals, separates test code, and finds functions and paths by counting brackets.
//! It leaves syntax that it does not know unchanged.

use std::collections::BTreeSet;

/// A path such as `super::record::Recorder`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// `super`, `record`, `Recorder`; a glob ends in `*`.
    pub segments: Vec<String>,
    /// The name that a `use` gives it.
    pub name: String,
    /// Part of a `use`.
    pub is_use: bool,
    /// Part of a `pub use`, with any visibility.
    pub is_reexport: bool,
    /// The line it starts on.
    pub line: usize,
}

/// One file of the project.
pub struct Source {
    /// Relative to the project, with `/`.
    pub path: String,
    /// The unchanged text.
    pub text: String,
    /// The text with comments and literals blanked. Line numbers stay the same.
    pub code: String,
    /// `code` with every `#[cfg(test)]` item blanked too.
    pub product: String,
    /// Modules that this file declares under `#[cfg(test)]`.
    pub test_modules: Vec<String>,
    /// Number of lines in `#[cfg(test)]` items.
    pub test_lines: usize,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let code = blank_comments_and_literals(text);
        let (product, test_modules, test_lines) = blank_test_items(&code);
        Source { path: path.to_owned(), text: text.to_owned(), code, product, test_modules, test_lines }
    }

    /// The module path below the crate: `src/link/mod.rs` and `src/link.rs` are `[link]`, the crate root is `[]`.
    pub fn module(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main")).collect()
    }

    /// The first-level module that the file belongs to; `None` for the crate roots.
    pub fn room(&self) -> Option<&str> {
        self.module().first().copied()
    }

    /// Number of lines without test code.
    pub fn product_lines(&self) -> usize {
        self.text.lines().count() - self.test_lines
    }

    /// Whether the file has a module of tests inside it.
    pub fn has_inline_tests(&self) -> bool {
        self.code.contains("#[cfg(test)]\nmod tests {")
    }

    /// Every function with a body: name, first line, number of lines.
    pub fn functions(&self) -> Vec<(String, usize, usize)> {
        let code: Vec<char> = self.product.chars().collect();
        words(&self.product)
            .filter(|(_, word)| *word == "fn")
            .filter_map(|(at, _)| {
                let name = words(&self.product[at + 2..]).next()?.1.to_owned();
                let start = self.product[..at].chars().count();
                let open = body(&code, start)?;
                let close = closing(&code, open)?;
                let line_of = |end: usize| code[..end].iter().filter(|c| **c == '\n').count() + 1;
                Some((name, line_of(start), line_of(close) - line_of(start) + 1))
            })
            .collect()
    }

    /// First-level modules that the product part reaches by `crate::x`, `crate::{x, y::z}` or `super::super::x`.
    pub fn reaches(&self) -> Vec<(String, usize)> {
        let depth = self.module().len();
        let mut found = Vec::new();
        for path in self.paths() {
            let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
            let rooted = match path.segments[0].as_str() {
                "crate" => 1,
                "super" if supers == depth => supers,
                _ => continue,
            };
            let room = path.segments.get(rooted).filter(|room| !matches!(room.as_str(), "self" | "*"));
            found.extend(room.map(|room| (room.clone(), path.line)));
        }
        found.dedup();
        found
    }

    /// Every path of two segments or more in the product part, with the groups of a `use` spread out.
    pub fn paths(&self) -> Vec<Path> {
        let text = &self.product;
        let mut paths = Vec::new();
        let mut used_until = 0;
        for (at, word) in words(text) {
            // `pub(in crate::app)` names a module but imports nothing.
            let is_visibility = text[..at].ends_with("(in ");
            if at < used_until || is_visibility || text[..at].ends_with("::") {
                continue;
            }
            let line = text[..at].matches('\n').count() + 1;
            let is_use = word == "use";
            let tree = if is_use { &text[at + word.len()..] } else { &text[at..] };
            if !is_use && !text[at + word.len()..].starts_with("::") {
                continue;
            }
            let is_reexport = is_use && is_public(&text[..at]);
            let mut leaves = Vec::new();
            let length = spread(tree, &mut Vec::new(), &mut leaves);
            paths.extend(
                leaves
                    .into_iter()
                    .filter(|(segments, _)| is_use || segments.len() > 1)
                    .map(|(segments, name)| Path { segments, name, is_use, is_reexport, line }),
            );
            if is_use {
                used_until = at + word.len() + length;
            }
        }
        paths
    }

    /// Names that the product part defines at any depth: types, functions, constants, macros, inline modules.
    pub fn definitions(&self) -> BTreeSet<String> {
        const KEYWORDS: [&str; 9] =
            ["fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules"];
        let all: Vec<&str> = words(&self.product).map(|(_, word)| word).collect();
        all.windows(2).filter(|pair| KEYWORDS.contains(&pair[0])).map(|pair| pair[1].to_owned()).collect()
    }

    /// Names of the tests, with their lines.
    pub fn tests(&self) -> Vec<(String, usize)> {
        ["#[test]", "#[tokio::test"]
            .iter()
            .flat_map(|attribute| self.code.match_indices(attribute))
            .filter_map(|(at, _)| {
                let mut after =
                    words(&self.code[at..]).map(|(_, word)| word).skip_while(|word| *word != "fn");
                Some((after.nth(1)?.to_owned(), self.code[..at].matches('\n').count() + 1))
            })
            .collect()
    }

    /// Line numbers where `text` has `needle` as a whole word or path.
    pub fn lines_naming(text: &str, needle: &str) -> Vec<usize> {
        let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let joins_before =
            |at: usize| part_of_word(needle.chars().next()) && part_of_word(text[..at].chars().next_back());
        let joins_after =
            |end: usize| part_of_word(needle.chars().next_back()) && part_of_word(text[end..].chars().next());
        text.match_indices(needle)
            .filter(|(at, _)| !joins_before(*at) && !joins_after(at + needle.len()))
            .map(|(at, _)| text[..at].matches('\n').count() + 1)
            .collect()
    }
}

/// Identifiers and keywords with their byte offsets.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let separator = |c: char| !(c.is_alphanumeric() || c == '_');
    let offset_of = move |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split(separator).filter(|word| !word.is_empty()).map(move |word| (offset_of(word), word))
}

/// Whether the item whose keyword follows `before` starts with `pub` or `pub(..)`.
fn is_public(before: &str) -> bool {
    let before = before.trim_end();
    let before = match before.strip_suffix(')') {
        Some(inside) => inside.rsplit_once('(').map_or("", |(before, _)| before.trim_end()),
        None => before,
    };
    before.ends_with("pub")
}

/// Adds the paths of a use tree below `prefix`, each with the name that it gets, and returns how many bytes the tree takes.
fn spread(text: &str, prefix: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) -> usize {
    let depth = prefix.len();
    let mut at = 0;
    let skip_space = |at: usize| at + text[at..].len() - text[at..].trim_start().len();
    loop {
        at = skip_space(at);
        let rest = &text[at..];
        if rest.starts_with('{') {
            at += 1;
            loop {
                at = skip_space(at);
                if text[at..].starts_with(',') {
                    at += 1;
                } else if text[at..].starts_with('}') {
                    at += 1;
                    break;
                } else {
                    let length = spread(&text[at..], prefix, leaves);
                    at += length;
                    if length == 0 {
                        break;
                    }
                }
            }
            prefix.truncate(depth);
            return at;
        }
        let length = match rest.strip_prefix('*') {
            Some(_) => 1,
            None => rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len()),
        };
        if length == 0 {
            break;
        }
        prefix.push(rest[..length].to_owned());
        at += length;
        let Some(_) = text[at..].strip_prefix("::") else { break };
        at += 2;
    }
    let mut name = prefix.last().cloned().unwrap_or_default();
    let alias = text[at..].trim_start().strip_prefix("as ");
    if let Some(alias) = alias.and_then(|alias| words(alias).next()) {
        name = alias.1.to_owned();
        at = alias.1.as_ptr() as usize - text.as_ptr() as usize + name.len();
    }
    if prefix.len() > depth {
        if prefix.last().is_some_and(|last| last == "self") {
            prefix.pop();
            name = if name == "self" { prefix.last().cloned().unwrap_or_default() } else { name };
        }
        if !prefix.is_empty() {
            leaves.push((prefix.clone(), name));
        }
    }
    prefix.truncate(depth);
    at
}

/// The brace that opens the body of the function declared at `start`. A declaration in a trait has no body.
fn body(code: &[char], start: usize) -> Option<usize> {
    let mut i = start;
    loop {
        match code.get(i)? {
            '(' | '[' => i = closing(code, i)?,
            '{' => return Some(i),
            ';' => return None,
            _ => {}
        }
        i += 1;
    }
}

/// The index of the bracket that closes the one at `open`.
fn closing(code: &[char], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, c) in code.iter().enumerate().skip(open) {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

fn blank_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let rest = &chars[i..];
        let after_word = i > 0 && (chars[i - 1].is_alphanumeric() || chars[i - 1] == '_');
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => string(rest),
            ['r', '"' | '#', ..] if !after_word => raw_string(rest, 1),
            ['b', 'r', '"' | '#', ..] if !after_word => raw_string(rest, 2),
            ['\'', '\\', ..] => 3 + rest[3..].iter().position(|c| *c == '\'').unwrap_or(0),
            ['\'', _, '\'', ..] => 2,
            _ => 0,
        };
        if length == 0 {
            out.push(chars[i]);
            i += 1;
        } else {
            out.extend(rest[..length].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            i += length;
            // A character's closing quote would otherwise open the next one.
            if rest[0] == '\'' {
                out.push(' ');
                i += 1;
            }
        }
    }
    out
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0usize;
    let mut i = 0;
    while i + 1 < rest.len() {
        match (rest[i], rest[i + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut i = 1;
    while i < rest.len() && rest[i] != '"' {
        i += if rest[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(rest.len())
}

/// Length of the raw string at the start of `rest`; zero for a raw identifier such as `r#type`.
fn raw_string(rest: &[char], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let body = prefix + hashes + 1;
    if rest.get(body - 1) != Some(&'"') {
        return 0;
    }
    let end = |i: &usize| {
        rest[*i] == '"' && rest[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (body..rest.len()).find(end).map_or(rest.len(), |i| i + 1 + hashes)
}

/// Blanks the items under `#[cfg(test)]`. Also returns the modules declared there and the number of their lines.
fn blank_test_items(code: &str) -> (String, Vec<String>, usize) {
    let mut chars: Vec<char> = code.chars().collect();
    let mut modules = Vec::new();
    let mut lines = 0;
    let mut i = 0;
    while i < chars.len() {
        let is_test =
            ["#[cfg(test)]", "#[cfg(all(test"].iter().any(|attribute| starts_with(&chars[i..], attribute));
        if !is_test {
            i += 1;
            continue;
        }
        let end = item_end(&chars, i);
        let item: String = chars[i..end].iter().collect();
        lines += item.matches('\n').count() + 1;
        let declaration: Vec<&str> = words(&item).map(|(_, word)| word).collect();
        if let Some(at) = declaration.iter().position(|word| *word == "mod")
            && item.trim_end().ends_with(';')
        {
            modules.push(declaration[at + 1].to_owned());
        }
        chars[i..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        i = end;
    }
    (chars.into_iter().collect(), modules, lines)
}

fn starts_with(chars: &[char], text: &str) -> bool {
    text.chars().enumerate().all(|(i, c)| chars.get(i) == Some(&c))
}

/// The index after the item, field, variant or match arm whose attributes begin at `start`.
fn item_end(chars: &[char], start: usize) -> usize {
    const ITEMS: [&str; 15] = [
        "pub",
        "fn",
        "mod",
        "use",
        "impl",
        "struct",
        "enum",
        "trait",
        "const",
        "static",
        "type",
        "async",
        "unsafe",
        "extern",
        "macro_rules",
    ];
    let mut i = start;
    loop {
        i += chars[i..].iter().take_while(|c| c.is_whitespace()).count();
        if chars.get(i) != Some(&'#') {
            break;
        }
        i = closing(chars, i + 1).map_or(chars.len(), |close| close + 1);
    }
    let head: String = chars[i..].iter().take(120).collect();
    let first = words(&head).next().map_or("", |(_, word)| word);
    let is_use = words(&head)
        .map(|(_, word)| word)
        .take_while(|word| matches!(*word, "pub" | "crate" | "use"))
        .any(|word| word == "use");
    let is_item = ITEMS.contains(&first);
    let mut depth = 0usize;
    while i < chars.len() {
        match chars[i] {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return i,
            c @ (')' | ']' | '}') => {
                depth -= 1;
                if depth == 0 && c == '}' && !is_use {
                    return i + 1;
                }
            }
            ';' if depth == 0 => return i + 1,
            ',' if depth == 0 && !is_item => return i + 1,
            _ => {}
        }
        i += 1;
    }
    chars.len()
}

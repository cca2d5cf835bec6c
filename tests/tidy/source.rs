//! Reads Rust source just well enough to judge it: comments and literals blanked, test code told apart.
//! A lexer and bracket counting, no parser; what it does not understand it leaves as it stands.

/// One file of the project.
pub struct Source {
    /// Relative to the project, with `/`.
    pub path: String,
    /// As it stands.
    pub text: String,
    /// Comments and the insides of literals blanked; the lines stay where they were.
    pub code: String,
    /// `code` with every `#[cfg(test)]` item blanked too.
    pub product: String,
    /// Modules that this file declares under `#[cfg(test)]`.
    pub test_modules: Vec<String>,
    /// How many lines the `#[cfg(test)]` items take.
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

    /// Lines that are part of the product.
    pub fn product_lines(&self) -> usize {
        self.text.lines().count() - self.test_lines
    }

    /// Every function with a body: its name, the line it starts on, and how many lines it takes.
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
        let mut supers = (0, 0); // how many in a row, and where the last ended
        for (at, word) in words(&self.product) {
            let end = at + word.len();
            let Some(path) = self.product[end..].strip_prefix("::") else { continue };
            let root = match word {
                "crate" => true,
                "super" => {
                    let chained = supers.0 > 0 && supers.1 + 2 == at;
                    supers = (if chained { supers.0 + 1 } else { 1 }, end);
                    supers.0 == depth && !path.starts_with("super")
                }
                _ => false,
            };
            if root {
                let line = self.product[..at].matches('\n').count() + 1;
                found.extend(first_segments(path).into_iter().map(|name| (name, line)));
            }
        }
        found
    }

    /// Where `needle` stands in `text` as a whole word (or path): line numbers.
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

/// `a::b` gives `[a]`; `{a::b, c}` gives `[a, c]`.
fn first_segments(path: &str) -> Vec<String> {
    let head = |text: &str| {
        let text = text.trim_start();
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_owned()
    };
    let chars: Vec<char> = path.chars().collect();
    if chars.first() != Some(&'{') {
        return vec![head(path)];
    }
    let close = closing(&chars, 0).unwrap_or(chars.len());
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for &c in &chars[1..close] {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().expect("it starts with one").push(c),
        }
    }
    parts.iter().map(|part| head(part)).filter(|name| !name.is_empty() && name != "self").collect()
}

/// The brace that opens the body of the function declared at `start`; a trait's declaration has none.
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

/// Zero for a raw identifier such as `r#type`.
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

/// Blanks the items under `#[cfg(test)]`; also gives the modules declared there and the number of lines.
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

/// Just past the item, field, variant or arm whose attributes begin at `start`.
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

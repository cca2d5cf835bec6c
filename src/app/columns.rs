//! Wraps text to a terminal of 80 columns. Used by `check`, and by the warnings that `check` and `run` print. Must not depend on plans or
//! results.

/// The width of the output.
pub(super) const COLUMNS: usize = 80;

/// Wraps `body` at spaces. The first line begins with `first`, the others with `rest`. Two spaces precede a command, which is never
/// wrapped, because the user copies it. The text ends in a line break.
#[must_use]
pub(super) fn wrapped(first: &str, rest: &str, body: &str) -> String {
    let mut out = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    let parts = body.split("  ").zip([false, true].into_iter().cycle());
    let words = parts.flat_map(|(part, is_command)| match is_command {
        true => vec![(part, "  ")],
        false => part.split(' ').map(|word| (word, " ")).collect(),
    });
    for (word, space) in words.filter(|(word, _)| !word.is_empty()) {
        if !empty && width(&line) + space.len() + width(word) > COLUMNS {
            out += line.trim_end();
            out.push('\n');
            rest.clone_into(&mut line);
            empty = true;
        }
        if !empty {
            line += space;
        }
        line += word;
        empty = false;
    }
    out + line.trim_end() + "\n"
}

/// Formats a message: its first line after `label`, and the other lines, which are ways to fix it, below and indented.
#[must_use]
pub(super) fn message(label: &str, text: &str) -> String {
    let mut lines = text.lines();
    let first = wrapped(&format!("{label}: "), "  ", lines.next().unwrap_or_default());
    first + &lines.map(|line| wrapped("  - ", "    ", line.trim_start())).collect::<String>()
}

/// Formats a label and a text beside it, wrapped into a column that begins at `indent + width`. A label that is too long for its column
/// gets its own line.
#[must_use]
pub(super) fn labelled((indent, columns): (usize, usize), label: &str, text: &str) -> String {
    let column = " ".repeat(indent + columns);
    let first = format!("{:indent$}{label:<columns$}", "");
    match width(label) + 2 > columns {
        true => format!("{}\n{}", first.trim_end(), wrapped(&column, &column, text)),
        false => wrapped(&first, &column, text),
    }
}

/// Formats a table whose rows begin with a name. Cells are separated by two spaces. A name that does not fit beside its row gets its own
/// line.
#[must_use]
pub(super) fn table<const N: usize>(indent: usize, rows: &[(&str, [String; N])]) -> String {
    let widest = |cell: usize| rows.iter().map(|(_, cells)| width(&cells[cell])).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(widest);
    let beside: usize = widths.iter().map(|width| width + 2).sum();
    let room = COLUMNS.saturating_sub(indent + beside);
    // A column for names that is too narrow would be empty in most rows.
    let room = if room < NAME_COLUMNS_MIN { 2 } else { room };
    let names = rows.iter().map(|(name, _)| width(name)).filter(|name| *name <= room);
    let names = names.max().unwrap_or(2);
    let mut out = String::new();
    for (name, cells) in rows {
        let mut line = format!("{:indent$}{name:<names$}", "");
        if width(name) > names {
            out = out + line.trim_end() + "\n";
            line = " ".repeat(indent + names);
        }
        for (cell, width) in cells.iter().zip(widths) {
            line += &format!("  {cell:<width$}");
        }
        out = out + line.trim_end() + "\n";
    }
    out
}

/// The narrowest useful column for names.
const NAME_COLUMNS_MIN: usize = 8;

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_not_wrapped() {
        let command = "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\" net.core.somaxconn=4096";
        let text = wrapped("- ", "  ", &format!("widen the range (as root):  {command}"));
        assert_eq!(text, format!("- widen the range (as root):\n  {command}\n"));
        assert_eq!(wrapped("- ", "  ", "run  ls -l  or wait"), "- run  ls -l or wait\n");
    }

    #[test]
    fn every_line_fits() {
        let words = "word ".repeat(100);
        for text in [
            wrapped("first: ", "  ", &words),
            message("warning", &format!("{words}\n  {words}\n  {words}")),
            labelled((4, 13), "label", &words),
            labelled((4, 13), "label-of-many-characters", &words),
        ] {
            assert!(text.lines().all(|line| line.len() <= COLUMNS && !line.ends_with(' ')), "{text}");
            assert!(text.ends_with("word\n"));
        }
    }

    #[test]
    fn long_names_get_their_own_line() {
        let long = "n".repeat(60);
        let row = || ["10.0 s".to_owned(), "online 0% -> 100%".to_owned()];
        assert_eq!(
            table(2, &[("ramp", row()), (&long, row())]),
            format!("  ramp  10.0 s  online 0% -> 100%\n  {long}\n        10.0 s  online 0% -> 100%\n")
        );
        let wide = || ["x".repeat(70), "y".to_owned()];
        let text = table(2, &[("ramp", wide()), ("up", wide())]);
        assert!(text.lines().all(|line| line.len() <= COLUMNS), "{text}");
    }
}

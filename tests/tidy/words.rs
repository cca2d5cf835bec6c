//! Phrases that this project avoids in messages, docs, comments and test names. `docs/glossary.md` has the terms to use instead.

/// Each phrase with its replacement. A match starts at the start of a word and ignores case.
const PHRASES: [(&str, &str); 38] = [
    ("to be online and never", "\"never connected\""),
    ("comings", "\"connection attempts\""),
    ("coming back", "\"reconnecting\""),
    ("came back", "\"reconnected\", \"returned\""),
    ("tried no more", "\"gave up\""),
    ("goes again", "\"reconnects\""),
    ("patience", "\"timeout\""),
    ("what is due", "\"due messages\", \"due operations\""),
    ("what was due", "\"due messages\", \"due operations\""),
    ("whoever", "the name of the caller, the device or the user"),
    ("what it has", "the thing's name"),
    ("that which", "the thing's name"),
    ("what came of", "\"the result of\""),
    ("what comes of", "\"the result of\""),
    ("what became of", "\"the outcome of\""),
    ("comes about", "\"happens\", \"succeeds\""),
    ("what is open", "\"unacknowledged messages\""),
    ("nobody", "\"no device\", \"no one\", or an active sentence"),
    ("so many", "the number"),
    ("hardly", "\"rarely\", or the number"),
    ("is none", "\"there is no ...\", \"has no ...\""),
    ("is no figure of", "\"does not measure\""),
    ("to have had", "a simple tense"),
    ("it does not show", "\"is not shown\", or what is missing"),
    ("to spare", "\"margin\""),
    ("picked up late", "\"lag\""),
    ("lateness", "\"lag\""),
    ("of our own", "\"built-in\""),
    ("of a time before", "\"older\""),
    ("blame", "\"culprit\", \"cause\""),
    ("whose fault", "\"culprit\""),
    ("ledger", "\"reconciliation\""),
    ("the other side", "\"hub\", \"broker\", \"peer\""),
    ("taken over by", "\"session takeover\""),
    ("service side", "\"service client\""),
    ("heed", "\"handle\""),
    ("is told", "\"receives\", \"prints\", \"reports\""),
    ("was told", "\"received\", \"knows\""),
];

/// Beginnings of words in British spelling, with the American one.
const SPELLINGS: [(&str, &str); 13] = [
    ("behaviour", "behavior"),
    ("colour", "color"),
    ("cancelled", "canceled"),
    ("cancelling", "canceling"),
    ("favour", "favor"),
    ("neighbour", "neighbor"),
    ("honour", "honor"),
    ("licence", "license"),
    ("serialis", "serializ"),
    ("initialis", "initializ"),
    ("recognis", "recogniz"),
    ("organis", "organiz"),
    ("normalis", "normaliz"),
];

/// Reports each phrase with its line. A phrase may continue on the next line of a comment.
pub fn complaints(path: &str, text: &str) -> Vec<String> {
    let lines: Vec<String> = text.lines().map(plain).collect();
    let mut complaints = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let both = format!("{line} {}", lines.get(i + 1).map_or("", String::as_str));
        for (phrase, instead) in PHRASES.iter().chain(&SPELLINGS) {
            let starts_here = |(at, _): (usize, &str)| {
                let starts_word = !both[..at].chars().next_back().is_some_and(char::is_alphanumeric);
                at < line.len() && starts_word
            };
            if both.match_indices(phrase).any(starts_here) {
                complaints.push(format!("{path}:{}: says \"{phrase}\"; write {instead}", i + 1));
            }
        }
    }
    complaints
}

/// A line without its comment marker, in lowercase, with single spaces.
fn plain(line: &str) -> String {
    let line = line.trim_start().trim_start_matches(['/', '!', '#', '*', '>', '|']);
    line.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

//! "Did you mean": finds the known word that the user probably meant. Used by `reader`, `plan` and the emulator's control lines.

/// Returns the candidate that is most similar to `found`, if it is similar enough to be what the user meant.
#[must_use]
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = found.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_suggests_only_similar_candidates() {
        let keys = ["devices", "keep_alive", "qos"];
        assert_eq!(nearest("devcies", keys), Some("devices"));
        assert_eq!(nearest("keepAlive", keys), Some("keep_alive"));
        assert_eq!(nearest("QoS", keys), Some("qos"));
        assert_eq!(nearest("color", keys), None);
    }
}

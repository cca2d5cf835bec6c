//! An index of topic filters by level: matching n topics with m filters costs n + m instead of n x m. Used by `matching`. Must
//! not depend on the meaning of the values.

use std::collections::HashMap;

/// Topic filters, each with a value (MQTT 3.1.1 §4.7).
#[derive(Debug)]
pub(super) struct TopicIndex<T> {
    /// The first node is the root. Nodes refer to each other by index.
    nodes: Vec<Node<T>>,
}

#[derive(Debug)]
struct Node<T> {
    /// Node of the next level, by the level's text.
    named: HashMap<Box<str>, usize>,
    /// Node of the next level if that level is `+`.
    any: Option<usize>,
    /// Values of filters that end here.
    here: Vec<T>,
    /// Values of filters whose next level is `#`.
    below: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Node<T> {
        Node { named: HashMap::new(), any: None, here: Vec::new(), below: Vec::new() }
    }
}

impl<T: Copy> TopicIndex<T> {
    /// Creates an empty index.
    pub(super) fn new() -> TopicIndex<T> {
        TopicIndex { nodes: vec![Node::default()] }
    }

    /// Adds a filter with a value.
    pub(super) fn insert(&mut self, filter: &str, value: T) {
        let mut at = 0;
        for level in filter.split('/') {
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match level {
                "#" => return node.below.push(value),
                "+" => *node.any.get_or_insert(next),
                name => match node.named.get(name) {
                    Some(known) => *known,
                    None => *node.named.entry(name.into()).or_insert(next),
                },
            };
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        self.nodes[at].here.push(value);
    }

    /// Appends the values of all filters that match `topic`. A wildcard in the first level does not match topics that begin with `$`
    /// (§4.7.2).
    pub(super) fn matching(&self, topic: &str, found: &mut Vec<T>) {
        let hidden = topic.starts_with('$');
        let mut places = vec![0];
        for (depth, level) in topic.split('/').enumerate() {
            let mut next = Vec::new();
            for node in places.iter().filter_map(|at| self.nodes.get(*at)) {
                next.extend(node.named.get(level));
                if !(hidden && depth == 0) {
                    next.extend(node.any);
                    found.extend(&node.below);
                }
            }
            places = next;
        }
        // `sport/#` also matches `sport` (§4.7.1.2).
        for node in places.iter().filter_map(|at| self.nodes.get(*at)) {
            found.extend(node.here.iter().chain(&node.below));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::topic;
    use proptest::prelude::*;

    fn level() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("a"), Just("b"), Just(""), Just("$SYS"), Just("+")]
    }

    fn filter() -> impl Strategy<Value = String> {
        (prop::collection::vec(level(), 1..5), any::<bool>())
            .prop_map(|(levels, rest)| levels.join("/") + if rest { "/#" } else { "" })
    }

    proptest! {
        /// The index finds the same filters as comparing them one by one.
        #[test]
        fn index_agrees_with_matching_one_by_one(
            filters in prop::collection::vec(prop_oneof![4 => filter(), 1 => Just("#".to_owned())], 0..12),
            levels in prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just(""), Just("$SYS")], 1..5),
        ) {
            let name = levels.join("/");
            let mut index = TopicIndex::new();
            for (number, filter) in filters.iter().enumerate() {
                index.insert(filter, number);
            }
            let mut found = Vec::new();
            index.matching(&name, &mut found);
            found.sort_unstable();
            let one_by_one: Vec<usize> = (0..filters.len()).filter(|n| topic::matches(&filters[*n], &name)).collect();
            prop_assert_eq!(found, one_by_one);
        }
    }

    #[test]
    fn filter_with_many_levels_does_not_overflow() {
        let deep = "/".repeat(65_535);
        let mut index = TopicIndex::new();
        index.insert(&deep, ());
        let mut found = Vec::new();
        index.matching(&deep, &mut found);
        assert_eq!(found.len(), 1);
    }
}

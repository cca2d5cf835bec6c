//! Which topic filters a topic matches, among many: an index by level, so that n topics and m filters cost n + m and not
//! n x m. Called by `deliveries`; it does not know whose filters they are.

use std::collections::HashMap;

/// Topic filters with something attached to each (MQTT 3.1.1 §4.7).
#[derive(Debug)]
pub(super) struct Filters<T> {
    /// The first is the root; the others are named by their place.
    nodes: Vec<Node<T>>,
}

#[derive(Debug)]
struct Node<T> {
    /// By the text of the next level.
    named: HashMap<Box<str>, usize>,
    /// `+`
    any: Option<usize>,
    /// Filters that end here.
    here: Vec<T>,
    /// Filters that end in `#` here.
    below: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Node<T> {
        Node { named: HashMap::new(), any: None, here: Vec::new(), below: Vec::new() }
    }
}

impl<T: Copy> Filters<T> {
    pub(super) fn new() -> Filters<T> {
        Filters { nodes: vec![Node::default()] }
    }

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

    /// Adds what is attached to every filter that matches; wildcards at a filter's begin do not match `$`-topics
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
        // `sport/#` matches `sport` too (§4.7.1.2).
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
        /// The index finds what comparing one by one finds.
        #[test]
        fn an_index_is_only_faster(
            filters in prop::collection::vec(prop_oneof![4 => filter(), 1 => Just("#".to_owned())], 0..12),
            levels in prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just(""), Just("$SYS")], 1..5),
        ) {
            let name = levels.join("/");
            let mut index = Filters::new();
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
    fn a_filter_of_many_levels_overflows_nothing() {
        let deep = "/".repeat(65_535);
        let mut index = Filters::new();
        index.insert(&deep, ());
        let mut found = Vec::new();
        index.matching(&deep, &mut found);
        assert_eq!(found.len(), 1);
    }
}

//! A doubly linked list through a slice of nodes, linked by index. Pushing at the end and removing anywhere take O(1) and do not
//! allocate. Used by `window` for its send order and its free slots.

/// Marks the absence of a node.
pub(super) const NONE: u16 = u16::MAX;

/// A node's neighbors in its list. A node is in at most one list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub(super) previous: u16,
    pub(super) next: u16,
}

impl Links {
    pub(super) const NONE: Links = Links { previous: NONE, next: NONE };
}

/// A type that can be in a list.
pub(super) trait Node {
    fn links(&mut self) -> &mut Links;
}

/// A list. All of its nodes are in the slice that is passed to each call.
#[derive(Debug)]
pub(super) struct List {
    head: u16,
    tail: u16,
}

impl List {
    pub(super) const EMPTY: List = List { head: NONE, tail: NONE };

    pub(super) fn head(&self) -> u16 {
        self.head
    }

    pub(super) fn push<N: Node>(&mut self, nodes: &mut [N], index: u16) {
        *nodes[usize::from(index)].links() = Links { previous: self.tail, next: NONE };
        match self.tail {
            NONE => self.head = index,
            tail => nodes[usize::from(tail)].links().next = index,
        }
        self.tail = index;
    }

    pub(super) fn remove<N: Node>(&mut self, nodes: &mut [N], index: u16) {
        let Links { previous, next } = std::mem::replace(nodes[usize::from(index)].links(), Links::NONE);
        match previous {
            NONE => self.head = next,
            previous => nodes[usize::from(previous)].links().next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => nodes[usize::from(next)].links().previous = previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Node for Links {
        fn links(&mut self) -> &mut Links {
            self
        }
    }

    proptest! {
        /// Compares the list with a vector while nodes are inserted and removed: the order is the same in both directions.
        #[test]
        fn nodes_keep_their_order_when_others_are_removed(toggles in prop::collection::vec(0u16..8, 0..60)) {
            let mut nodes = [Links::NONE; 8];
            let mut list = List::EMPTY;
            let mut model: Vec<u16> = Vec::new();
            for index in toggles {
                match model.iter().position(|other| *other == index) {
                    Some(at) => { model.remove(at); list.remove(&mut nodes, index); }
                    None => { model.push(index); list.push(&mut nodes, index); }
                }
                let step = |index: u16| (index != NONE).then_some(index);
                let forward: Vec<u16> =
                    std::iter::successors(step(list.head), |i| step(nodes[usize::from(*i)].next)).collect();
                let mut backward: Vec<u16> =
                    std::iter::successors(step(list.tail), |i| step(nodes[usize::from(*i)].previous)).collect();
                backward.reverse();
                prop_assert_eq!(&forward, &model);
                prop_assert_eq!(&backward, &model);
            }
        }
    }
}

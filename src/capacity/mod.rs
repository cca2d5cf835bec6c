//! Capacity: the search for the load that a hub can take. Used by `app`. It must not depend on `app`, `fleet` or `link`.

mod search;

pub use search::{Answer, End, Next, Search, SearchRules, TrialVerdict, conditional_throughput};

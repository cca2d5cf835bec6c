//! A counter for each outcome. In files, this is a map from names to counts, without zeros. Used by `totals` and by
//! `result`.

use super::operation::Outcome;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{AddAssign, Index, IndexMut, SubAssign};

/// A counter for each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes([u64; Outcome::ALL.len()]);

impl Outcomes {
    /// Returns the sum of all counters.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns the outcomes with a count above 0, in the order of [`Outcome::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.into_iter().map(|outcome| (outcome, self[outcome])).filter(|(_, count)| *count > 0)
    }

    /// Returns true if all counters are 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Outcomes::default()
    }
}

impl Index<Outcome> for Outcomes {
    type Output = u64;

    #[inline]
    fn index(&self, outcome: Outcome) -> &u64 {
        &self.0[outcome.index()]
    }
}

impl IndexMut<Outcome> for Outcomes {
    #[inline]
    fn index_mut(&mut self, outcome: Outcome) -> &mut u64 {
        &mut self.0[outcome.index()]
    }
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, other: Outcomes) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

impl SubAssign for Outcomes {
    fn sub_assign(&mut self, other: Outcomes) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_sub(theirs);
        }
    }
}

impl FromIterator<(Outcome, u64)> for Outcomes {
    fn from_iter<T: IntoIterator<Item = (Outcome, u64)>>(counts: T) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for (outcome, count) in counts {
            outcomes[outcome] = outcomes[outcome].saturating_add(count);
        }
        outcomes
    }
}

impl Serialize for Outcomes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named: BTreeMap<&str, u64> =
            self.iter().map(|(outcome, count)| (outcome.name(), count)).collect();
        named.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Outcomes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Outcomes, D::Error> {
        BTreeMap::<Outcome, u64>::deserialize(deserializer).map(Outcomes::from_iter)
    }
}

impl JsonSchema for Outcomes {
    fn schema_name() -> Cow<'static, str> {
        "Outcomes".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<String, u64>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_contain_only_outcomes_that_occurred() {
        let outcomes: Outcomes =
            [(Outcome::Lost, 2), (Outcome::Ok, 5), (Outcome::Lost, 1)].into_iter().collect();
        let json = serde_json::to_string(&outcomes).unwrap();
        assert_eq!(json, r#"{"lost":3,"ok":5}"#);
        assert_eq!(serde_json::from_str::<Outcomes>(&json).unwrap(), outcomes);
        assert_eq!(outcomes.sum(), 8);
        assert!(serde_json::from_str::<Outcomes>(r#"{"won":1}"#).is_err());
    }
}

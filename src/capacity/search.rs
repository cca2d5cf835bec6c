//! The search for the capacity of a hub: the outcomes of trials come in; the next level to try, or the answer, goes out. Used by
//! `hubstorm capacity`. A pure state machine: it must not depend on plans, measurements or clocks.
//!
//! The rules are those of MLRsearch (draft-ietf-bmwg-mlrsearch) with a goal exceed ratio of 0.5 and trials of full length only. A trial
//! whose load was ended early because it was bad counts as a full one, so the search counts trials instead of durations.

use std::collections::BTreeMap;

/// How often a trial at one level may be undecided before the search leaves the level alone.
const UNDECIDED_MAX: u32 = 3;

/// How many void trials at one level end the search there.
const VOID_MAX: u32 = 2;

/// Number of cells of the grid in an interval of the wanted width. The bounds lie one cell beyond the cell in which the verdict changes, or
/// noise at the edges of that cell would often leave the capacity outside of the interval.
const CELLS: f64 = 3.0;

/// The maximum number of cells of the grid.
const CELLS_MAX: f64 = 1e6;

/// What to search, and how precisely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchRules {
    /// The lowest level, at least 1. A level is a number of devices, or a load in parts per million of the scenario's load.
    pub from: u64,
    /// The highest level.
    pub to: u64,
    /// The search ends when the interval is at most this share of its upper bound.
    pub width: f64,
    /// Number of trials that decide a level for certain. Fewer do if they form a majority already.
    pub confirm: u32,
}

/// The outcome of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialVerdict {
    /// The hub kept up with the level.
    Good,
    /// A threshold failed, or the backlog grew.
    Bad,
    /// The measurements do not decide.
    Undecided,
    /// The generator was the limit, so the trial says nothing about the hub.
    Void,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Try this level.
    Trial {
        /// See [`SearchRules::from`].
        level: u64,
    },
    /// The search is over.
    Done(Answer),
}

/// The capacity lies between `lower` and `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// The greatest level below `upper` that the hub kept up with.
    pub lower: Option<u64>,
    /// The least level that the hub did not keep up with.
    pub upper: Option<u64>,
    /// Why the search ended, or `None` if it has not ended.
    pub end: Option<End>,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The interval is narrow enough.
    Narrow,
    /// The hub kept up with the highest level: its capacity is at least that.
    AtLeast,
    /// The hub did not keep up with the lowest level: its capacity is below that.
    Below,
    /// The generator was the limit at this level: the capacity is at least `lower`.
    Capped(u64),
    /// This level stayed undecided.
    Undecided(u64),
}

/// An estimate of the trials that are left stops here.
const LEFT_MAX: u32 = 100;

/// The trials at one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Trials {
    good: u32,
    bad: u32,
    undecided: u32,
    void: u32,
}

/// What the trials at a level say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Lower {
        proven: bool,
    },
    Upper {
        proven: bool,
    },
    /// As many good as bad trials, or one void or undecided trial only: try again.
    Open,
    /// Too many undecided trials.
    Unclear,
    /// Too many void trials.
    Capped,
}

impl Trials {
    fn standing(&self, confirm: u32) -> Standing {
        let all = (self.good + self.bad).max(confirm);
        match (self.good, self.bad) {
            _ if self.void >= VOID_MAX => Standing::Capped,
            (good, _) if 2 * (all - good) <= all => Standing::Lower { proven: true },
            (_, bad) if 2 * bad > all => Standing::Upper { proven: true },
            _ if self.undecided >= UNDECIDED_MAX => Standing::Unclear,
            (good, bad) if good > bad => Standing::Lower { proven: false },
            (good, bad) if bad > good => Standing::Upper { proven: false },
            _ => Standing::Open,
        }
    }
}

/// A search in progress. It tries only levels of a grid with equal ratios.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    rules: SearchRules,
    grid: Vec<u64>,
    /// The trials, by index in the grid.
    trials: BTreeMap<usize, Trials>,
}

/// Indices of the grid between which the capacity seems to lie.
#[derive(Clone, Copy, Debug, Default)]
struct Bracket {
    lower: Option<usize>,
    upper: Option<usize>,
    /// The least level that is capped.
    cap: Option<usize>,
    /// The first and the last unclear level above `lower` and below `upper` and `cap`.
    unclear: Option<(usize, usize)>,
}

impl Search {
    /// Starts a search.
    #[must_use]
    pub fn new(rules: SearchRules) -> Search {
        Search { rules, grid: grid(&rules), trials: BTreeMap::new() }
    }

    /// Records a trial at a level that [`Search::next`] returned.
    pub fn record(&mut self, level: u64, verdict: TrialVerdict) {
        let Ok(index) = self.grid.binary_search(&level) else { return };
        let trials = self.trials.entry(index).or_default();
        *match verdict {
            TrialVerdict::Good => &mut trials.good,
            TrialVerdict::Bad => &mut trials.bad,
            TrialVerdict::Undecided => &mut trials.undecided,
            TrialVerdict::Void => &mut trials.void,
        } += 1;
    }

    /// Returns the next level to try, or the answer.
    #[must_use]
    pub fn next(&self) -> Next {
        if let Some((index, _)) = self.standings().find(|(_, standing)| *standing == Standing::Open) {
            return self.trial(index);
        }
        let (bracket, last) = (self.bracket(), self.grid.len() - 1);
        match (bracket.lower, bracket.upper.or(bracket.cap)) {
            (None, _) if !self.trials.contains_key(&0) => self.trial(0),
            (None, Some(0)) if bracket.upper.is_some() => self.prove([0], End::Below),
            (None, Some(cap)) if bracket.upper.is_none() => self.done(End::Capped(self.level(cap))),
            (None, _) => self.done(End::Undecided(self.level(0))),
            (Some(lower), None) if lower == last => self.prove([last], End::AtLeast),
            (Some(lower), None) => self.step_up(bracket, lower, last),
            (Some(lower), Some(upper)) => self.narrow(bracket, lower, upper),
        }
    }

    /// Returns what is proven so far.
    #[must_use]
    pub fn answer_so_far(&self) -> Answer {
        let proven = |wanted: Standing| {
            self.standings()
                .filter(move |(_, standing)| *standing == wanted)
                .map(|(index, _)| self.level(index))
        };
        let upper = proven(Standing::Upper { proven: true }).next();
        let lower = proven(Standing::Lower { proven: true })
            .filter(|level| upper.is_none_or(|upper| *level < upper))
            .last();
        Answer { lower, upper, end: None }
    }

    /// Returns the number of trials that are left if the capacity is in the middle of the levels that it may be between, and every trial
    /// decides its level.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn trials_left(&self) -> u32 {
        let Bracket { lower, upper, cap, .. } = self.bracket();
        let lower = lower.map_or(self.rules.from, |index| self.level(index));
        let upper = upper.or(cap).map_or(self.rules.to, |index| self.level(index));
        let assumed = (lower as f64 * upper as f64).sqrt();
        let mut search = self.clone();
        let mut left = 0;
        while let Next::Trial { level } = search.next() {
            let is_good = (level as f64) < assumed;
            search.record(level, if is_good { TrialVerdict::Good } else { TrialVerdict::Bad });
            left += 1;
            if left == LEFT_MAX {
                break;
            }
        }
        left
    }

    fn standings(&self) -> impl Iterator<Item = (usize, Standing)> {
        self.trials.iter().map(|(index, trials)| (*index, trials.standing(self.rules.confirm)))
    }

    fn standing(&self, index: usize) -> Option<Standing> {
        self.trials.get(&index).map(|trials| trials.standing(self.rules.confirm))
    }

    fn bracket(&self) -> Bracket {
        let mut bracket = Bracket::default();
        for (index, standing) in self.standings() {
            match standing {
                Standing::Lower { .. } => (bracket.lower, bracket.unclear) = (Some(index), None),
                Standing::Upper { .. } => {
                    bracket.upper = Some(index);
                    break;
                }
                // A generator that was the limit at one level is not asked for more.
                Standing::Capped => {
                    bracket.cap = Some(index);
                    break;
                }
                Standing::Unclear => {
                    let first = bracket.unclear.map_or(index, |(first, _)| first);
                    bracket.unclear = Some((first, index));
                }
                Standing::Open => {}
            }
        }
        bracket
    }

    /// No level is bad: tries a higher one.
    fn step_up(&self, bracket: Bracket, lower: usize, last: usize) -> Next {
        match bracket.unclear {
            Some((_, highest)) if highest == last => self.narrow(bracket, lower, last),
            _ => {
                let highest = bracket.unclear.map_or(lower, |(_, highest)| highest);
                // Far up, the highest level decides at once whether there is anything to find.
                let far_up = highest >= last - last / 8;
                self.trial(if far_up { last } else { usize::midpoint(highest, last).max(highest + 1) })
            }
        }
    }

    /// Tries a level between two, or proves bounds if the two are neighbors.
    fn narrow(&self, bracket: Bracket, lower: usize, upper: usize) -> Next {
        let (first, last) = bracket.unclear.unwrap_or((upper, upper));
        for (low, high) in [(lower, first), (last, upper)] {
            if high - low > 1 && high > low {
                return self.trial(usize::midpoint(low, high));
            }
        }
        match (bracket.unclear, bracket.upper) {
            (Some((level, _)), Some(_)) => self.prove([lower, upper], End::Undecided(self.level(level))),
            (Some((level, _)), None) => self.prove([lower], End::Undecided(self.level(level))),
            (None, None) => self.prove([lower], End::Capped(self.level(upper))),
            (None, Some(_)) => self.prove(self.bounds(lower, upper), End::Narrow),
        }
    }

    /// Returns the widest bounds around two neighbors that are narrow enough, except for levels that were found to be something else.
    fn bounds(&self, lower: usize, upper: usize) -> [usize; 2] {
        let (below, above) = (lower.saturating_sub(1), (upper + 1).min(self.grid.len() - 1));
        let wider = [[below, above], [lower, above], [below, upper]];
        let fits = |bounds: &[usize; 2]| {
            self.is_narrow(*bounds)
                && matches!(self.standing(bounds[0]), None | Some(Standing::Lower { .. }))
                && matches!(self.standing(bounds[1]), None | Some(Standing::Upper { .. }))
        };
        wider.into_iter().find(fits).unwrap_or([lower, upper])
    }

    #[expect(clippy::cast_precision_loss, reason = "levels are far below 2^52")]
    fn is_narrow(&self, [lower, upper]: [usize; 2]) -> bool {
        let (lower, upper) = (self.level(lower), self.level(upper));
        (upper - lower) as f64 <= self.rules.width * upper as f64
    }

    /// Tries these levels until each is proven to be a bound.
    fn prove<const N: usize>(&self, bounds: [usize; N], end: End) -> Next {
        let is_open = |index: &usize| {
            !matches!(
                self.standing(*index),
                Some(Standing::Lower { proven: true } | Standing::Upper { proven: true })
            )
        };
        match bounds.into_iter().find(is_open) {
            Some(index) => self.trial(index),
            None => self.done(end),
        }
    }

    fn level(&self, index: usize) -> u64 {
        self.grid.get(index).copied().unwrap_or(self.rules.to)
    }

    fn trial(&self, index: usize) -> Next {
        Next::Trial { level: self.level(index) }
    }

    fn done(&self, end: End) -> Next {
        Next::Done(Answer { end: Some(end), ..self.answer_so_far() })
    }
}

/// Returns the levels that a search may try: the lowest, the highest, and levels between them.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "levels are positive and far below 2^52"
)]
fn grid(rules: &SearchRules) -> Vec<u64> {
    let (from, to) = (rules.from.max(1), rules.to.max(rules.from).max(1));
    let (range, cell) = ((to as f64 / from as f64).ln(), -(1.0 - rules.width).ln() / CELLS);
    // A little more cells than needed, because levels are rounded.
    let cells = (range / cell * 1.001).ceil().clamp(1.0, CELLS_MAX);
    let ratio = range / cells;
    let mut levels: Vec<u64> = (0..=cells as u64)
        .map(|cell| ((from as f64 * (cell as f64 * ratio).exp()).round() as u64).clamp(from, to))
        .collect();
    levels.dedup();
    levels
}

/// Returns the conditional throughput at a level, in operations per second: at least half of its trials achieved this. `achieved`
/// contains the operations per second that were `ok` in each trial, and trials missing from `confirm` count as 0. `None` if less than
/// half of the trials have a value.
#[must_use]
pub fn conditional_throughput(achieved: &[f64], confirm: u32) -> Option<f64> {
    let all = achieved.len().max(usize::try_from(confirm).ok()?);
    let mut best = achieved.to_vec();
    best.sort_by(|a, b| b.total_cmp(a));
    best.get(all.div_ceil(2).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests;

"""The oracle of the capacity search: MLRsearch, by its authors. Used by tests/it/capacity_oracle.rs.

Reads JSON from stdin: {"rules": {"from", "to", "width", "confirm"}, "histories": [[[rank, good], ..], ..], "capacities": [level, ..]}.
Prints JSON: for each history of trials (at levels that are named by their ranks) the relevant bounds, and for each capacity the interval of a search on a hub that is good up to
exactly that capacity.
"""

import json
import sys

from MLRsearch import AbstractMeasurer, Config, MeasurementResult, MultipleLossRatioSearch, SearchGoal
from MLRsearch.discrete_load import DiscreteLoad
from MLRsearch.discrete_result import DiscreteResult
from MLRsearch.load_rounding import LoadRounding
from MLRsearch.measurement_database import MeasurementDatabase
from MLRsearch.target_spec import TargetSpec

HOLD_S = 1.0


def goal(rules):
    return SearchGoal(
        loss_ratio=0.0,
        exceed_ratio=0.5,
        relative_width=rules["width"],
        initial_trial_duration=HOLD_S,
        final_trial_duration=HOLD_S,
        duration_sum=rules["confirm"] * HOLD_S,
        preceding_targets=1,
        fail_fast=False,
    )


def result(load, good):
    return MeasurementResult(
        intended_duration=HOLD_S, intended_load=load, offered_count=100, loss_count=0 if good else 1
    )


def bounds(rules, history):
    """Returns the relevant lower and upper bound after these trials."""
    target = TargetSpec(
        loss_ratio=0.0,
        exceed_ratio=0.5,
        discrete_width=None,
        trial_duration=HOLD_S,
        duration_sum=rules["confirm"] * HOLD_S,
        expansion_coefficient=2,
        fail_fast=False,
        preceding=None,
    )
    rounding = LoadRounding(min_load=1.0, max_load=1e6, float_goals=[rules["width"]])
    database = MeasurementDatabase([target])
    for rank, good in history:
        load = DiscreteLoad(rounding=rounding, int_load=rank)
        database.add(DiscreteResult.with_load(result(float(load), good), load))
    found = database.get_relevant_bounds(target)
    return [bound and int(bound) for bound in (found.clo, found.chi)]


class Hub(AbstractMeasurer):
    def __init__(self, capacity):
        self.capacity = capacity

    def measure(self, intended_duration, intended_load):
        return result(intended_load, intended_load <= self.capacity)


def interval(rules, capacity):
    config = Config()
    config.goals = [goal(rules)]
    config.max_load = float(rules["to"])
    config.min_load = float(rules["from"])
    config.search_duration_max = 3600.0
    config.warmup_duration = None
    found = next(iter(MultipleLossRatioSearch(config).search(Hub(capacity)).values()))
    both = (found.relevant_lower_bound, found.relevant_upper_bound)
    return [bound and float(bound) for bound in both]


question = json.load(sys.stdin)
rules = question["rules"]
print(json.dumps({
    "bounds": [bounds(rules, history) for history in question["histories"]],
    "intervals": [interval(rules, capacity) for capacity in question["capacities"]],
}))

"""Computes the statistics of a comparison with scipy, for src/compare/stats/oracle.rs. Has no code in common with hubstorm.

Reads a JSON array of [METHOD, ARGUMENT...] from stdin, and prints a JSON array with the numbers of each. An infinite number is null.
"""

import itertools
import json
import math
import sys

import numpy as np
from scipy import optimize, stats

ALPHA = 0.05


def normal(change, sd, tolerance):
    low, high = stats.norm.ppf([ALPHA, 1 - ALPHA], loc=change, scale=sd)
    return change, low, high, stats.norm.sf(change - tolerance, scale=sd)


def counts(a, na, b, nb, dispersion, tolerance):
    a, b, exposures = a / dispersion, b / dispersion, nb / na
    ratio = math.exp(tolerance) * exposures
    share = ratio / (1 + ratio)
    p = stats.beta.cdf(share, b, a + 1) if b else 1.0
    if dispersion == 1 and b:
        exact = stats.binomtest(int(b), int(a + b), share, alternative="greater").pvalue
        assert math.isclose(p, exact, rel_tol=1e-9)
    log = lambda share: math.log(share / (1 - share) / exposures)
    low = log(stats.beta.ppf(ALPHA, b, a + 1)) if b else -math.inf
    high = log(stats.beta.ppf(1 - ALPHA, b + 1, a)) if a else math.inf
    return low, high, p


def wilson(share, n, z):
    """The shares that a score test does not reject."""
    excess = lambda true: abs(share - true) - z * math.sqrt(true * (1 - true) / n)
    low = 0.0 if share == 0 else optimize.brentq(excess, 0, share, xtol=1e-15)
    # Without events, 0 is a solution too.
    high = 1.0 if share == 1 else optimize.brentq(excess, max(share, 1e-15), 1, xtol=1e-15)
    return low, high


def shares(a, na, b, nb, dispersion, tolerance):
    pa, pb = a / na, b / nb

    def bounds(z):
        base, new = wilson(pa, na / dispersion, z), wilson(pb, nb / dispersion, z)
        return pb - pa - math.hypot(pb - new[0], base[1] - pa), pb - pa + math.hypot(new[1] - pb, pa - base[0])

    z = stats.norm.ppf(1 - ALPHA)
    if dispersion == 1:
        interval = stats.binomtest(b, nb).proportion_ci(1 - 2 * ALPHA, "wilson")
        assert np.allclose(wilson(pb, nb, z), interval, atol=1e-9)
    # The score for which a bound lies at the tolerance.
    end = 0 if pb - pa > tolerance else 1
    at = optimize.brentq(lambda z: bounds(z)[end] - tolerance, 1e-3, 30, xtol=1e-13)
    beyond = stats.norm.sf(at)
    return pb - pa, *bounds(z), beyond if end == 0 else 1 - beyond


def dispersion(groups):
    tables = [[[events for events, _ in parts], [of - events for events, of in parts]] for parts in groups]
    found = [stats.chi2_contingency(table, correction=False) for table in tables]
    return [max(1.0, sum(one.statistic for one in found) / sum(one.dof for one in found))]


def prediction(base, new, tolerance):
    n, m = len(base), len(new)
    deviation = np.std(base, ddof=1) * math.sqrt(1 / n + 1 / m)
    change = np.mean(new) - np.mean(base)
    low, high = stats.t.ppf([ALPHA, 1 - ALPHA], n - 1, loc=change, scale=deviation)
    return change, low, high, stats.t.sf((change - tolerance) / deviation, n - 1)


def ranks(base, new, tolerance):
    def p(shift, alternative):
        return stats.mannwhitneyu(np.array(new) - shift, base, alternative=alternative, method="exact").pvalue

    differences = sorted(x - y for x, y in itertools.product(new, base))
    # The bounds are the outermost shifts that the test does not reject. There are no ties beside a difference.
    beside = 1e-9
    low = min(shift for shift in differences if p(shift + beside, "greater") > ALPHA)
    high = max(shift for shift in differences if p(shift - beside, "less") > ALPHA)
    return np.median(differences), low, high, p(tolerance, "greater")


def least_p(base, new):
    return [stats.mannwhitneyu(np.arange(new) + base, np.arange(base), alternative="greater", method="exact").pvalue]


def holm(p):
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1)))
    return adjusted


def block_length(series):
    series = np.array(series) - np.mean(series)
    correlation = np.correlate(series[1:], series[:-1])[0] / np.correlate(series, series)[0]
    return [max(1, math.ceil(-2 / math.log(correlation)))] if correlation > 0 else [1]


def bootstrap(series, length):
    """The deviation of the mean under a circular block bootstrap."""
    rng, n = np.random.default_rng(7), len(series)
    starts = rng.integers(0, n, (50_000, math.ceil(n / length)))
    drawn = (starts[:, :, None] + np.arange(length)) % n
    return [np.std(np.array(series)[drawn.reshape(50_000, -1)[:, :n]].mean(axis=1), ddof=1)]


METHODS = [normal, counts, shares, dispersion, prediction, ranks, least_p, holm, block_length, bootstrap]
BY_NAME = {method.__name__: method for method in METHODS}
answers = [BY_NAME[name](*arguments) for name, *arguments in json.load(sys.stdin)]
json.dump([[float(x) if math.isfinite(x) else None for x in answer] for answer in answers], sys.stdout)

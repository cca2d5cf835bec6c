"""Prints the expected values of src/compare/stats/tests.rs. Needs scipy; independent of hubstorm's code."""

import itertools
import math

import numpy as np
from scipy import stats


def counts(a, na, b, nb, dispersion, ratio):
    a, b, exposures = a / dispersion, b / dispersion, nb / na
    share = ratio * exposures / (1 + ratio * exposures)
    p = stats.beta.cdf(share, b, a + 1) if b else 1.0
    if dispersion == 1 and b:
        exact = stats.binomtest(int(b), int(a + b), share, alternative="greater").pvalue
        assert math.isclose(p, exact, rel_tol=1e-9)
    low = stats.beta.ppf(0.05, b, a + 1) if b else 0.0
    high = stats.beta.ppf(0.95, b + 1, a) if a else 1.0
    log = lambda q: math.log(q / (1 - q) / exposures) if 0 < q < 1 else math.copysign(math.inf, q - 0.5)
    return log(low), log(high), p


def shares(a, na, b, nb, dispersion):
    na, nb, pa, pb = na / dispersion, nb / dispersion, a / na, b / nb
    interval = lambda p, n: stats.binomtest(round(p * n), round(n)).proportion_ci(0.9, "wilson")
    base, new = interval(pa, na), interval(pb, nb)
    d = pb - pa
    return d - math.hypot(pb - new.low, base.high - pa), d + math.hypot(new.high - pb, pa - base.low)


def prediction(base, new, tolerance):
    n, m = len(base), len(new)
    se = np.std(base, ddof=1) * math.sqrt(1 / n + 1 / m)
    d = np.mean(new) - np.mean(base)
    t = stats.t.ppf(0.95, n - 1)
    return d, d - t * se, d + t * se, stats.t.sf((d - tolerance) / se, n - 1)


def ranks(base, new, tolerance):
    p = stats.mannwhitneyu(np.array(new) - tolerance, base, alternative="greater", method="exact").pvalue
    differences = sorted(x - y for x, y in itertools.product(new, base))
    return np.median(differences), p


def holm(p):
    order = np.argsort(p)
    out, most = [0.0] * len(p), 0.0
    for rank, index in enumerate(order):
        most = max(most, min(1.0, (len(p) - rank) * p[index]))
        out[index] = most
    return out


def bootstrap(length):
    """The deviation of the mean of a known AR(1) series under a circular block bootstrap."""
    series = [0.0]
    for n in range(1, 64):
        series.append(0.6 * series[-1] + math.sin(n * n))
    series = np.array(series)
    rng = np.random.default_rng(7)
    means = []
    for _ in range(200_000 // length):
        starts = rng.integers(0, 64, math.ceil(64 / length))
        drawn = np.concatenate([(s + np.arange(length)) % 64 for s in starts])[:64]
        means.append(series[drawn].mean())
    return np.std(means, ddof=1)


BASE = [1.0, 1.3, 0.9, 1.15, 1.02]
print("counts", counts(3, 1000, 12, 1000, 1, 1.1), counts(30, 1000, 50, 2000, 2.5, 1.2), counts(0, 500, 4, 500, 1, 1.1))
print("shares", shares(10, 10000, 40, 10000, 1), shares(0, 5000, 30, 5000, 2))
print("prediction", prediction(BASE, [1.9], 0.1), prediction(BASE, [1.0, 1.4], 0.1))
print("ranks", ranks(BASE, [1.6, 1.7, 1.2], 0.1))
print("holm", holm([0.01, 0.04, 0.03, 0.2]))
print("bootstrap", [bootstrap(length) for length in (1, 3)])

"""How the numbers of random layers are distributed.

The seeds are fixed, so that a test passes always or never; each bound is one that a right generator
would miss, over all seeds, with the probability given.
"""

import numpy as np
import pytest
from reference_noise import NAMES, keep_of
from reference_noise import kernel as m_of

from cnet._core import kernels

SHAPE, STEPS = (512, 256), 16  # 2^21 numbers
N = SHAPE[0] * SHAPE[1] * STEPS
# Two-sided 1e-6 of a normal number. Every statistic below is a sum of so many independent terms
# that the normal distribution holds there.
FAR = 4.892


def sample(name, setting, dtype="float32"):
    """All m of the steps, (STEPS, rows, columns), in double."""
    found = [m_of(name, SHAPE, setting, dtype, seed=11, step=step) for step in range(STEPS)]
    return np.array(found, np.float64)


def binomial_bounds(n, p, chance):
    """The numbers of successes below and above which are at most half the chance each."""
    k = np.arange(1, n + 1)
    ways = np.concatenate([[0.0], np.cumsum(np.log((n - k + 1) / k))])
    successes = np.arange(n + 1)
    mass = np.exp(ways + successes * np.log(p) + (n - successes) * np.log1p(-p))
    low, high = (np.searchsorted(np.cumsum(m), chance / 2, "right") for m in (mass, mass[::-1]))
    return low, n - high


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_dropout_keeps_its_share(rate):
    """In all, per column, per row, per step: exact binomial bounds, each kind missed with 1e-6."""
    m = sample("dropout", rate)
    share = keep_of(rate) / 65536
    assert abs(share - (1 - rate)) <= 0.5 / 65536
    assert set(np.unique(m)) == {0.0, float(np.float32(1 / share))}
    kept = m != 0
    for axes, count in (((0, 1, 2), 1), ((0, 1), SHAPE[1]), ((0, 2), SHAPE[0]), ((1, 2), STEPS)):
        low, high = binomial_bounds(N // count, share, 1e-6 / count)
        found = kept.sum(axis=axes)
        assert low <= np.min(found) and np.max(found) <= high
    if rate == 0.5:  # the factor is that of the rounded share: no bias at all
        assert share * float(np.float32(1 / share)) == 1


def test_gaussians_have_their_moments():
    """The first four moments of 2^21 numbers; each bound is missed with 1e-6."""
    for name, setting in (("gaussian_noise", 2.0), ("gaussian_dropout", 0.5)):
        m = sample(name, setting)
        z = m / 2 if name == "gaussian_noise" else m - 1
        product = np.ones_like(z)
        for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            product *= z
            off = (product.mean() - mean) / np.sqrt(variance / N)
            assert abs(off) < FAR, f"{name}: moment {power} is off by {off:.1f} deviations"


def test_gaussian_noise_is_normal_everywhere():
    """Kolmogorov's distance of 2^17 numbers; a bound of 2.69 / sqrt(n) is missed with 1e-6."""
    z = np.sort(m_of("gaussian_noise", SHAPE, 1.0, seed=1).ravel())
    u = kernels.vmath("normal_cdf", z)
    places = np.arange(len(z) + 1) / len(z)
    distance = max(np.max(places[1:] - u), np.max(u - places[:-1]))
    assert distance < 2.69 / np.sqrt(len(z))
    assert 4 < -z[0] < 6.6 and 4 < z[-1] < 6.6  # the largest radius is sqrt(64 ln 2)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_correlated(name):
    """Neighbours by row, column and step, a block's own parts; each bound is missed with 1e-6."""
    m = sample(name, 0.5)
    z = (m - m.mean()) / m.std()
    flat = z.reshape(STEPS, -1)
    pairs = {"rows": (z[:, 1:], z[:, :-1]), "steps": (z[1:], z[:-1])}
    pairs |= {f"{d} apart": (flat[:, d:], flat[:, :-d]) for d in (1, 2, 8, 16, 32, 64, 256)}
    other = m_of(name, SHAPE, 0.5, "float32", seed=12)
    pairs["seeds"] = (z[0], (other - m.mean()) / m.std())
    other = m_of(name, SHAPE, 0.5, "float32", seed=11, stream=1)
    pairs["layers"] = (z[0], (other - m.mean()) / m.std())
    for what, (a, b) in pairs.items():
        off = np.mean(a * b) * np.sqrt(a.size)
        assert abs(off) < FAR, f"{what}: {off:.1f} deviations"

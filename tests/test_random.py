"""Random numbers: Philox's published values, the distributions, and what they may depend on."""

import math
from itertools import permutations
from statistics import NormalDist

import numpy as np
import pytest

from cnet._core import kernels

LOW_52 = 2**52
PURPOSES = kernels.PURPOSES
random_normal, random_order = kernels.random_normal, kernels.random_order
random_uniform = kernels.random_uniform


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """One block of Philox 4x32-10: Salmon et al. (2011), section 3.3 and table 2."""
    x = list(counter)
    for r in range(10):
        keys = ((key[0] + r * 0x9E3779B9) % 2**32, (key[1] + r * 0xBB67AE85) % 2**32)
        high0, low0 = divmod(0xD2511F53 * x[0], 2**32)
        high1, low1 = divmod(0xCD9E8D57 * x[2], 2**32)
        x = [high1 ^ x[1] ^ keys[0], low1, high0 ^ x[3] ^ keys[1], low0]
    return tuple(x)


def draws(seed: int, purpose: str, step: int, n: int) -> list[int]:
    """The first n draws of 64 bits: key (seed), counter (block, purpose, step), low word first."""
    found: list[int] = []
    for block in range((n + 1) // 2):
        counter = (block, PURPOSES[purpose], step % 2**32, step >> 32)
        words = philox(counter, (seed % 2**32, seed >> 32))
        found += [words[0] | words[1] << 32, words[2] | words[3] << 32]
    return found[:n]


def middle(u: float) -> int:
    """Which of 2^52 equal parts of (0, 1) a number is the middle of."""
    part = int(u * LOW_52)
    assert u == (part + 0.5) / LOW_52
    return part


# ---- bits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2,
         (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
         (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)  # fmt: skip
def test_the_reference_gives_the_published_values(counter, key, expected):
    """The file kat_vectors of the authors' Random123, rows philox4x32 10."""
    assert philox(counter, key) == expected


def test_the_kernel_gives_the_published_values():
    """Seed 0, the purpose numbered 0 and step 0 are the first of these vectors."""
    assert PURPOSES["weights"] == 0
    u = random_uniform(0, "weights", 0, 2)
    assert middle(u[0]) == 0xE169C58D_6627E8D5 >> 12
    assert middle(u[1]) == 0x9B00DBD8_BC57AC4C >> 12


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("seed", [0, 1, 2**32, 0xA4093822299F31D0, 2**64 - 1])
def test_uniform_is_philox_of_seed_purpose_and_step(seed, purpose):
    for step in (0, 1, 2**32 - 1, 2**32, 2**64 - 1):
        u = random_uniform(seed, purpose, step, 9)
        assert [middle(v) for v in u] == [d >> 12 for d in draws(seed, purpose, step, 9)]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 9, 100])
def test_order_is_that_of_fisher_and_yates(n):
    """Knuth (1969), algorithm P, from the last place to the second with the draw of that number."""
    expected, drawn = list(range(n)), draws(11, "order", 5, n + 1)
    for i in range(n, 1, -1):
        j = drawn[i] % i
        expected[i - 1], expected[j] = expected[j], expected[i - 1]
    order = random_order(11, "order", 5, n)
    assert order.dtype == np.int64 and order.tolist() == expected


def test_numbers_do_not_depend_on_how_many_are_drawn():
    long = random_uniform(3, "noise", 4, 1000)
    for n in (1, 2, 3, 17, 999):
        assert np.array_equal(random_uniform(3, "noise", 4, n), long[:n])


# ---- independence ------------------------------------------------------------------------------


def test_seeds_purposes_and_steps_are_independent_streams():
    n = 4096
    streams = [random_normal(1, purpose, step, n) for purpose in PURPOSES for step in (0, 1, 2)]
    streams += [random_normal(seed, "weights", 0, n) for seed in (0, 2, 2**32, 2**63)]
    correlation = np.corrcoef(streams)
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 4.5 / math.sqrt(n)  # of 171 pairs: once in 10^3 at random


def test_successive_numbers_are_independent():
    z = random_normal(5, "data", 0, 100_001)
    for lag in (1, 2, 3, 4):
        assert abs(np.corrcoef(z[:-lag], z[lag:])[0, 1]) < 4 / math.sqrt(len(z))


# ---- distributions -----------------------------------------------------------------------------


def test_uniform_numbers():
    u = random_uniform(7, "data", 1, 200_000)
    assert u.min() > 0 and u.max() < 1
    counts = np.histogram(u, 100, (0, 1))[0]
    chi_square = ((counts - 2000.0) ** 2 / 2000).sum()
    assert 56 < chi_square < 155  # 99 degrees of freedom: 0.0002 of the mass at either side


def test_normal_numbers_are_the_inverse_distribution_of_the_uniform_ones():
    u, z = random_uniform(9, "noise", 2, 5000), random_normal(9, "noise", 2, 5000)
    exact = np.array([NormalDist().inv_cdf(v) for v in u])
    assert np.abs(z - exact).max() < 1e-14
    # And by the definition, without an algorithm for the inverse: Phi(z) is u again.
    back = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in z])
    assert np.abs(back / u - 1).max() < 1e-13
    assert abs(z.mean()) < 4 / math.sqrt(len(z)) and abs(z.std() - 1) < 4 / math.sqrt(2 * len(z))


def test_normal_numbers_in_the_tails():
    u, z = random_uniform(1, "data", 0, 400_000), random_normal(1, "data", 0, 400_000)
    tail = np.flatnonzero((u < 1e-4) | (u > 1 - 1e-4))
    assert len(tail) > 50 and z[tail].min() < -4.2 and z[tail].max() > 4.2
    exact = np.array([NormalDist().inv_cdf(v) for v in u[tail]])
    assert np.abs(z[tail] / exact - 1).max() < 1e-14


@pytest.mark.parametrize("bound", [0.1, 1.0, 2.0, 5.0])
def test_truncated_normal_numbers(bound):
    u = random_uniform(2, "weights", 3, 5000)
    z = random_normal(2, "weights", 3, 5000, bound)
    assert np.abs(z).max() <= bound
    # The distribution function of a truncated normal at z, which must be u again.
    normal = NormalDist()
    mass = normal.cdf(bound) - normal.cdf(-bound)
    share = np.array([(normal.cdf(v) - normal.cdf(-bound)) / mass for v in z])
    assert np.abs(share - u).max() < 1e-14
    assert np.abs(z).max() > 0.97 * min(bound, 3)


@pytest.mark.parametrize("n", [1, 2, 3, 100, 10_007])
def test_order_is_a_permutation(n):
    assert np.array_equal(np.sort(random_order(1, "order", 0, n)), np.arange(n))


def test_all_orders_are_equally_likely():
    seen = dict.fromkeys(permutations(range(4)), 0)
    for step in range(4800):
        seen[tuple(random_order(1, "order", step, 4).tolist())] += 1
    chi_square = sum((count - 200) ** 2 / 200 for count in seen.values())
    assert 6 < chi_square < 53  # 23 degrees of freedom: 0.0003 of the mass at either side

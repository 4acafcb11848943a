"""How what augmentations draw is distributed.

The seeds are fixed, so that a test passes always or never; each bound is one that a right generator
would miss, over all seeds, with the probability given.
"""

import numpy as np
import pytest
from test_noise_statistics import FAR, binomial_bounds

from cnet import augment

N = 4096
# Kolmogorov's distance of n numbers is above this, divided by sqrt(n), with 1e-6.
KOLMOGOROV = 2.69


def seen(x, *augmentations, **numbers):
    return augment.preview(x, augmentations, dtype="float64", **{"seed": 5} | numbers)


def assert_distributed(found, distribution):
    """The numbers follow a distribution function; a right generator misses the bound with 1e-6."""
    u = distribution(np.sort(found))
    places = np.arange(len(u) + 1) / len(u)
    distance = max(np.max(places[1:] - u), np.max(u - places[:-1]))
    assert distance < KOLMOGOROV / np.sqrt(len(u))


def uniform(low, high):
    return lambda x: np.clip((x - low) / (high - low), 0, 1)


def test_angles_are_uniform():
    """The angle of each image is measured on a ramp, whose slopes turn with it."""
    c = np.arange(-4.0, 5) + np.zeros((9, 1))
    x = np.broadcast_to(c, (N, 9, 9))
    middle = seen(x, augment.RandomAffine(rotation=40))[:, 3:6, 3:6]
    along = (middle[:, 1, 2] - middle[:, 1, 0]) / 2
    across = (middle[:, 0, 1] - middle[:, 2, 1]) / 2
    assert np.allclose(along**2 + across**2, 1)
    assert_distributed(np.degrees(np.arctan2(across, along)), uniform(-40, 40))


def test_shifts_and_zooms_are_uniform():
    r, c = np.mgrid[-9:10, -9:10].astype(float)
    for axis, ramp in enumerate((r, c)):
        x = np.broadcast_to(ramp, (N, 19, 19))
        shifted = seen(x, augment.RandomAffine(translation=(3, 5)))
        assert_distributed(-shifted[:, 9, 9], uniform(-(3, 5)[axis], (3, 5)[axis]))
    zoomed = seen(x, augment.RandomAffine(zoom=0.3))
    assert_distributed(1 / (zoomed[:, 9, 10] - zoomed[:, 9, 9]), uniform(0.7, 1.3))
    sheared = seen(x, augment.RandomAffine(shear=30))
    slant = sheared[:, 8, 9] - sheared[:, 9, 9]
    assert_distributed(np.degrees(np.arctan(slant)), uniform(-30, 30))


@pytest.mark.parametrize("probability", [0.02, 0.5, 0.9])
def test_flips_are_binomial_and_independent(probability):
    """Exact bounds, missed with 1e-6 each; the four combinations too."""
    x = np.broadcast_to(np.arange(4.0).reshape(2, 2), (N, 2, 2))
    found = seen(x, augment.RandomFlip(True, True, probability=probability))[:, 0, 0]
    p = probability
    shares = ((1 - p) ** 2, p * (1 - p), p * (1 - p), p**2)  # none, horizontal, vertical, both
    for value, share in enumerate(shares):
        low, high = binomial_bounds(N, share, 1e-6)
        assert low <= np.sum(found == value) <= high


def test_crops_are_uniform():
    """Every one of 25 shifts: exact bounds, missed with 1e-6 in all."""
    x = np.broadcast_to(np.arange(25.0).reshape(5, 5), (N, 5, 5))
    counts = np.bincount(seen(x, augment.RandomCrop(2))[:, 2, 2].astype(int), minlength=25)
    low, high = binomial_bounds(N, 1 / 25, 1e-6 / 25)
    assert low <= counts.min() and counts.max() <= high


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 2.0, 30.0])
def test_shares_of_mixup_have_their_moments(alpha):
    """A beta's first four central moments over 2^16 rows; each bound is missed with 1e-6."""
    n = 1 << 16
    labels = np.zeros((n, 1))
    labels[: n // 2] = 1  # a row whose other one has the other label shows its share
    mixed = seen(np.zeros((n, 1)), augment.Mixup(alpha), y=labels)[1][:, 0]
    if alpha == 1:
        inside = mixed[(mixed > 0) & (mixed < 1)]
        assert_distributed(inside, uniform(0, 1))
    d = mixed - 0.5
    square = 1 / (4 * (2 * alpha + 1))  # of share - 1/2
    fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))
    # Half of the rows have the other label in their partner and show (share - 1/2), the rest 1/2.
    shown = np.abs(d) < 0.5 - 1e-15
    if alpha >= 1:  # no share is rounded to 0 or 1
        z = d[shown]
        assert abs(shown.mean() - 0.5) < FAR * 0.5 / np.sqrt(n)
        assert abs(z.mean()) < FAR * np.sqrt(square / len(z))
        assert abs(np.mean(z**2) - square) < FAR * np.sqrt((fourth - square**2) / len(z))
    mean = 0.5 * square + 0.5 * 0.25
    variance = 0.5 * fourth + 0.5 / 16 - mean**2
    assert abs(np.mean(d**2) - mean) < FAR * np.sqrt(variance / n)


def test_partners_are_uniform_and_never_oneself():
    x = np.eye(9)
    counts = np.zeros((9, 9))
    for step in range(400):
        counts += seen(x, augment.Mixup(1.0), step=step) > 0
    assert np.array_equal(np.diag(counts), np.full(9, 400))
    low, high = binomial_bounds(400, 1 / 8, 1e-6 / 72)
    others = counts[~np.eye(9, dtype=bool)]
    assert low <= others.min() and others.max() <= high


def test_swaps_are_binomial():
    x = np.arange(300.0)[:, None] + np.zeros(200)
    found = seen(x, augment.SwapFeatures(0.15))
    low, high = binomial_bounds(300 * 200, 0.15, 1e-6)
    assert low <= np.sum(found != x) <= high
    donors = found[found != x]
    assert abs(donors.mean() - 149.5) < FAR * np.sqrt(300**2 / 12 / len(donors))


def test_noise_is_normal():
    z = seen(np.zeros((64, 1000)), augment.Noise(2.0)).ravel() / 2
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(z**power) - mean) < FAR * np.sqrt(variance / len(z))


def test_erased_areas_are_uniform():
    """Within what rounding to whole pixels of a large image allows."""
    x = np.ones((300, 150, 150), np.uint8)
    given = augment.RandomErasing((0.1, 0.4), (0.5, 2.0), probability=1.0)
    share = 1 - seen(x, given).mean(axis=(1, 2))
    assert_distributed(share, uniform(0.1, 0.4))


def test_displacements_are_as_long_as_said():
    """0.16 alpha / sigma pixels in the middle, on a ramp, within six standard errors."""
    c = np.arange(-16.0, 17) + np.zeros((33, 1))
    x = np.broadcast_to(c, (N, 33, 33))
    moved = seen(x, augment.Elastic(8.0, 3.0))[:, 16, 16]
    expected = 8.0 / np.sqrt(3) / (2 * 3.0 * np.sqrt(np.pi))
    assert abs(moved.std() / expected - 1) < 6 / np.sqrt(2 * N)
    assert expected == pytest.approx(0.16 * 8 / 3, rel=0.03)
    assert abs(moved.mean()) < FAR * expected / np.sqrt(N)


def test_rows_steps_seeds_and_places_differ():
    x = np.zeros((50, 20))
    one = [seen(x, augment.Noise(1.0), **k) for k in ({}, {"step": 1}, {"seed": 6})]
    one.append(seen(x, augment.Brightness(0.0), augment.Noise(1.0)))
    z = np.array(one)
    for other in z[1:]:
        assert abs(np.mean(z[0] * other)) < FAR / np.sqrt(1000)
    assert abs(np.mean(z[0][1:] * z[0][:-1])) < FAR / np.sqrt(980)

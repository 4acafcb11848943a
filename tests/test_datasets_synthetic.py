"""Generated problems: where the points lie, what noise does, and that a seed decides them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cnet import datasets

MAKERS = [datasets.make_spirals, datasets.make_moons, datasets.make_xor]


def rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return points and labels in one canonical order."""
    table = np.column_stack([x.round(12) + 0.0, y])
    return table[np.lexsort(table.T)]


class TestSynthetic:
    @pytest.mark.parametrize("make", MAKERS)
    @pytest.mark.parametrize("n", [4, 5, 101])
    def test_form(self, make, n: int) -> None:
        x, y = make(n, noise=0.1)
        assert (x.shape, x.dtype) == ((n, 2), np.float64)
        assert (y.shape, y.dtype) == ((n,), np.int64)
        assert x.flags.c_contiguous and np.isfinite(x).all()
        counts = np.bincount(y)
        assert len(counts) == 2 and abs(counts[0] - counts[1]) <= 1

    @pytest.mark.parametrize("make", MAKERS)
    def test_seed(self, make) -> None:
        x, y = make(60, noise=0.3, seed=5)
        again_x, again_y = make(60, noise=0.3, seed=np.int64(5))
        np.testing.assert_array_equal(x, again_x)
        np.testing.assert_array_equal(y, again_y)
        other_x, other_y = make(60, noise=0.3, seed=6)
        assert (x != other_x).all() and (y != other_y).any()

    @pytest.mark.parametrize("make", MAKERS)
    def test_noise(self, make) -> None:
        clean_x, clean_y = make(4000)
        noisy_x, noisy_y = make(4000, noise=0.25)
        np.testing.assert_array_equal(clean_y, noisy_y)
        noise = noisy_x - clean_x
        # 8,000 normal numbers: their mean and deviation lie within five standard errors.
        assert abs(noise.mean()) < 5 * 0.25 / math.sqrt(8000)
        assert abs(noise.std() - 0.25) < 5 * 0.25 / math.sqrt(2 * 8000)

    @pytest.mark.parametrize("make", MAKERS)
    def test_rows_are_shuffled(self, make) -> None:
        _, y = make(400)
        # Both halves hold both classes about equally; hypergeometric deviation 5.
        assert abs(int(y[:200].sum()) - 100) < 25
        assert 150 < np.count_nonzero(np.diff(y)) < 250

    @pytest.mark.parametrize("make", MAKERS)
    def test_global_state_is_left_alone(self, make) -> None:
        before = np.random.get_state()[1:3]
        make(50, noise=0.1, seed=1)
        after = np.random.get_state()[1:3]
        np.testing.assert_array_equal(before[0], after[0])
        assert before[1] == after[1]

    def test_two_spirals_benchmark(self) -> None:
        points = []
        for i in range(97):
            radius, angle = 6.5 * (104 - i) / 104, i * math.pi / 16
            x, y = radius * math.sin(angle) / 6.5, radius * math.cos(angle) / 6.5
            points += [(x, y, 0), (-x, -y, 1)]
        table = np.array(points)
        x, y = datasets.make_spirals()
        np.testing.assert_allclose(rows(x, y), rows(table[:, :2], table[:, 2]), rtol=0, atol=2e-12)

    def test_spiral_arms(self) -> None:
        x, y = datasets.make_spirals(302, classes=3, turns=0.75)
        assert np.bincount(y).tolist() == [101, 101, 100]
        radius = np.hypot(*x.T)
        assert radius.max() == pytest.approx(1) and radius.min() == pytest.approx(1 / 13)
        for arm in range(3):
            own = x[y == arm][np.argsort(-radius[y == arm])]
            angle = np.unwrap(np.arctan2(own[:, 0], own[:, 1]))
            assert angle[0] % (2 * math.pi) == pytest.approx(arm * 2 * math.pi / 3, abs=1e-9)
            assert angle[-1] - angle[0] == pytest.approx(0.75 * 2 * math.pi)

    def test_one_point_per_arm(self) -> None:
        x, y = datasets.make_spirals(4, classes=4)
        np.testing.assert_allclose(np.hypot(*x.T), 1)
        assert sorted(y) == [0, 1, 2, 3]

    def test_moons(self) -> None:
        x, y = datasets.make_moons(41)
        upper, lower = x[y == 0], x[y == 1]
        assert (len(upper), len(lower)) == (20, 21)
        np.testing.assert_allclose(np.hypot(*upper.T), 1)
        np.testing.assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1)
        assert upper[:, 1].min() > -1e-12 and lower[:, 1].max() < 0.5 + 1e-12
        steps = np.diff(np.sort(np.arctan2(upper[:, 1], upper[:, 0])))
        np.testing.assert_allclose(steps, math.pi / 19)

    def test_xor_table(self) -> None:
        x, y = datasets.make_xor()
        assert x.dtype == np.float64 and y.dtype == np.int64
        assert x.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
        assert y.tolist() == [0, 1, 1, 0]
        noisy, same = datasets.make_xor(noise=0.01)
        assert same.tolist() == [0, 1, 1, 0]
        assert (noisy != x).all() and abs(noisy - x).max() < 0.06

    def test_xor_cloud(self) -> None:
        x, y = datasets.make_xor(100)
        corners, counts = np.unique(np.column_stack([x, y]), axis=0, return_counts=True)
        assert corners.tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]
        assert counts.tolist() == [25, 25, 25, 25]

    @pytest.mark.parametrize("make", MAKERS)
    @pytest.mark.parametrize(
        ("arguments", "error", "words"),
        [
            ({"n": 1}, ValueError, r"n must be \d or greater, got 1"),
            ({"n": -3}, ValueError, "n must be .* got -3"),
            ({"n": 10.0}, TypeError, r"n must be a whole number, got 10\.0"),
            ({"n": True}, TypeError, "n must be a whole number, got True"),
            ({"n": "10"}, TypeError, "n must be a whole number, got '10'"),
            ({"noise": -0.1}, ValueError, r"noise must be 0 or greater, got -0\.1"),
            ({"noise": math.nan}, ValueError, "noise must be finite, got nan"),
            ({"noise": math.inf}, ValueError, "noise must be finite, got inf"),
            ({"noise": "0.1"}, TypeError, "noise must be a number, got '0.1'"),
            ({"noise": None}, TypeError, "noise must be a number, got None"),
            ({"seed": -1}, ValueError, "seed must be 0 or greater, got -1"),
            ({"seed": None}, TypeError, "seed must be a whole number, got None"),
        ],
    )
    def test_wrong_arguments(self, make, arguments: dict, error: type, words: str) -> None:
        with pytest.raises(error, match=words):
            make(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "error", "words"),
        [
            ({"classes": 1}, ValueError, "classes must be 2 or greater, got 1"),
            ({"classes": 2.0}, TypeError, "classes must be a whole number"),
            ({"n": 4, "classes": 5}, ValueError, "n must be 5 or greater, got 4"),
            ({"turns": 0}, ValueError, "turns must be greater than 0, got 0"),
            ({"turns": -math.inf}, ValueError, "turns must be finite, got -inf"),
            ({"turns": True}, TypeError, "turns must be a number, got True"),
        ],
    )
    def test_wrong_spirals(self, arguments: dict, error: type, words: str) -> None:
        with pytest.raises(error, match=words):
            datasets.make_spirals(**arguments)

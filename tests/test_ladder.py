"""The ladders of techniques and their costs: they run, and the tables say what was found."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("only the installed package is here, not its benchmarks", allow_module_level=True)
sys.path.append(str(ROOT))

from dataclasses import replace  # noqa: E402

from benchmarks import ladder, techniques  # noqa: E402


def test_every_rung_adds_to_the_one_before():
    for found in ladder.LADDERS.values():
        setups = found.setups()
        assert len(setups) == 1 + len(found.rungs) == len({name for name, _ in setups})
        for (_, before), (_, after), rung in zip(setups, setups[1:], found.rungs, strict=False):
            assert after == replace(before, **rung.change) != before


def test_the_plain_digits_are_learnt_from_200():
    found = ladder.LADDERS["digits"]
    (x, y), (x_test, y_test), _ = found.data(5)
    assert len(x) == len(y) == 200 and len(x_test) == len(y_test) == 1597
    assert all((y == label).sum() == 20 for label in range(10))
    score = ladder.climb(found, replace(found.first, epochs=20), 5)
    assert 0.85 < score.accuracy < 1 and score.training > 0.99
    assert score == ladder.climb(found, replace(found.first, epochs=20), 5)


def test_the_last_rung_of_the_digits_trains():
    """All techniques at once."""
    found = ladder.LADDERS["digits"]
    _, setup = found.setups()[-1]
    score = ladder.climb(found, replace(setup, epochs=40, hidden=(64, 64)), 5)
    assert score.accuracy > 0.85


def test_gains_and_spreads_of_the_table():
    found = replace(ladder.LADDERS["digits"], seeds=2)
    scores = {
        "plain": [ladder.Score(0.90, 1.0), ladder.Score(0.92, 1.0)],
        "+ more": [ladder.Score(0.91, 0.9), ladder.Score(0.95, 0.8)],
    }
    text = ladder.render(found, scores, "made up")
    assert "| plain | 91.00% | 1.41 |  | 100.00% |" in text
    assert "| + more | 93.00% | 2.83 | +2.00 +- 1.00 | 85.00% |" in text


def test_costs_are_medians_of_ratios():
    text = techniques.render({"dropout": [1.01, 1.03, 1.02, 1.5]}, "made up")
    assert "| dropout | +2.5 % |" in text and "4 rounds" in text


def test_every_technique_has_a_network_of_the_same_size():
    for name, (net, settings) in techniques.techniques().items():
        assert net.built.shape == (28, 28) and net.built.outputs == 10, name
        assert set(settings) <= {"augment"}

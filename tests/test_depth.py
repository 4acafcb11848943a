"""What docs/depth.md says of signals at the start is so, and its plot is a drawing of it."""

import sys
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pytest

# At the end, so that an installed cnet is not hidden by the source tree.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import curves, depth

ROOT = Path(__file__).resolve().parents[1]
PAGE, PLOT = ROOT / "docs" / "depth.md", ROOT / "docs" / "depth.svg"
KEPT, LOST = depth.STARTS[:2], depth.STARTS[2:]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def measured():
    """Of the page's seed; measured once."""
    return [(start, depth.variances(start)) for start in depth.STARTS]


def assert_kept(start, variances):
    """From layer to layer within a factor of two, in both directions."""
    for variance in variances:
        assert variance.shape == (start.depth,)
        low, high = depth.steps(variance)
        assert 0.5 < low < 1 < high < 2
        assert 0.05 < variance[-1] / variance[0] < 20


def test_glorot_and_he_keep_variances(measured):
    for start, variances in measured[:2]:
        assert_kept(start, variances)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
@pytest.mark.parametrize("start", KEPT, ids=lambda start: start.name)
def test_so_do_they_with_other_seeds(start, seed):
    assert_kept(start, depth.variances(start, seed))


def test_a_small_deviation_loses_them(measured):
    for start, (forward, backward) in measured:
        if start in LOST:
            assert forward[-1] < 1e-40 * forward[0]
            assert backward[0] < 1e-40 * backward[-1]
            assert depth.steps(forward)[1] < 0.05 and depth.steps(backward)[0] > 20


def test_variances_are_those_of_the_formulas(measured):
    """Of the first layer sigma^2 times the inputs' sum of squares; He's stay as they are."""
    (x, _), _ = depth.digits()
    size = np.mean(np.sum((x[: depth.ROWS] / 16) ** 2, axis=1))
    for start, (forward, _) in measured:
        sigma = 2 / (64 + depth.WIDTH) if start.initializer_name == "Glorot" else 2 / 64
        if start in LOST:
            sigma = 1e-4
        assert forward[0] == pytest.approx(sigma * size, rel=0.15), start.name
    he = next(forward for start, (forward, _) in measured if start.initializer_name == "He")
    assert np.exp(np.log(he[1:] / he[:-1]).mean()) == pytest.approx(1, rel=0.1)


def test_the_page_has_these_figures(measured):
    assert "\n".join(depth.start_table(measured)) in PAGE.read_text(encoding="utf-8")


def test_the_page_says_what_was_trained():
    page = PAGE.read_text(encoding="utf-8")
    rows = {line.split(" | ")[0].strip("| "): line for line in page.splitlines() if "|" in line}
    for recipe in depth.RECIPES:
        accuracies = rows[recipe.name].strip("| ").split(" | ")[-1].split(", ")
        trains = recipe.name in ("50 layers, He", "the same in 100 residual blocks")
        assert len(accuracies) == len(depth.SEEDS)
        assert all((float(accuracy) > 85) == trains for accuracy in accuracies)
        assert trains or max(map(float, accuracies)) < 25


def test_recipes_differ_in_nothing_but_the_way_past():
    """The same layers, and as many parameters, with residual blocks and without."""
    plain, residual = (depth.blocks(3, residual=flag) for flag in (False, True))
    inside = [layer for block in residual for layer in block.layers]
    assert [repr(layer) for layer in inside] == [repr(layer) for layer in plain]
    assert len(depth.plain(200, "he_normal")) == 2 * len(depth.blocks(100, residual=True))


def test_the_plot_is_a_small_drawing_of_all_starts():
    text = PLOT.read_text(encoding="utf-8")
    assert len(text) < 60_000
    root = xml.etree.ElementTree.fromstring(text)
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {start.name for start in depth.STARTS} <= set(texts)
    lines = [element.get("points").split() for element in root.iter(f"{SVG}polyline")]
    assert [len(points) for points in lines] == 2 * [start.depth for start in depth.STARTS]


def test_curves_stay_inside_of_their_panel():
    panel = curves.Panel("a < b", [("c & d", np.array([1e-7, 2.0, 300.0]))])
    root = xml.etree.ElementTree.fromstring(curves.svg([panel], "x", "y"))
    (line,) = root.iter(f"{SVG}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
    assert [x for x, _ in points] == [0, curves.WIDTH / 2, curves.WIDTH]
    heights = [y for _, y in points]
    assert curves.HEIGHT >= heights[0] > heights[1] > heights[2] >= 0

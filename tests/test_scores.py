"""The functions of cnet.metrics on arrays: against scikit-learn, by hand, and at their edges."""

import math

import golden
import numpy as np
import pytest
from networks import refused

import cnet
from cnet import metrics

GOLDEN = golden.load("metrics")["cases"]
AVERAGED = ("precision", "recall", "f1")
NAN = float("nan")
OF_CLASSES = ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss")
OF_NUMBERS = ("mse", "rmse", "mae", "mape", "r2", "explained_variance", "quantile_coverage")


@pytest.mark.parametrize("form", ["float64", "float32", "lists"])
@pytest.mark.parametrize("case", GOLDEN)
def test_the_figures_are_those_of_scikit_learn(case, form):
    data = GOLDEN[case]
    y_true, y_pred, weights = data["y_true"], data["y_pred"], data["sample_weight"]
    if form != "lists":
        y_true, y_pred = np.array(y_true), np.array(y_pred, form)
    settings = {"multilabel": True} if "labels" in case else {}
    assert len(data["figures"]) > 4
    for figure, expected in data["figures"].items():
        name, _, average = figure.partition(" ")
        chosen = dict(settings)
        if average:
            chosen["average"] = None if average == "None" else average
        if name == "top_k_accuracy":
            chosen["k"] = 2
        found = getattr(metrics, name)(y_true, y_pred, sample_weight=weights, **chosen)
        rounded = form == "float32" and name in ("log_loss", *OF_NUMBERS)
        if name == "log_loss" and rounded and np.min(y_pred) == 0:
            continue  # how far the logarithm stays away from 0 goes by the dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5 if rounded else 1e-12, err_msg=figure)


@pytest.mark.parametrize("case", [name for name in GOLDEN if "class" in name])
def test_one_hot_targets_and_decided_classes_are_the_same(case):
    data = GOLDEN[case]
    labels, y = np.array(data["y_true"]), np.array(data["y_pred"])
    hot = np.eye(y.shape[1])[labels]
    for function in (*(getattr(metrics, name) for name in AVERAGED), metrics.accuracy):
        assert function(hot, y) == function(labels, y) == function(labels, y.argmax(axis=1)) > 0
    assert metrics.log_loss(hot, y) == metrics.log_loss(labels, y)
    assert metrics.roc_auc(hot, y) == metrics.roc_auc(labels, y)
    assert metrics.top_k_accuracy(hot, y, 2) == metrics.top_k_accuracy(labels, y, 2)


def test_by_hand():
    truth, guess = [0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 0, 2]
    matrix = metrics.confusion_matrix(truth, guess)
    assert matrix.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]] and matrix.dtype == np.int64
    assert metrics.accuracy(truth, guess) == pytest.approx(4 / 6)
    np.testing.assert_allclose(metrics.precision(truth, guess, average=None), [1 / 2, 2 / 3, 1])
    np.testing.assert_allclose(metrics.recall(truth, guess, average=None), [1 / 2, 1, 1 / 2])
    np.testing.assert_allclose(metrics.f1(truth, guess, average=None), [1 / 2, 4 / 5, 2 / 3])
    assert metrics.f1(truth, guess) == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)
    assert metrics.f1(truth, guess, average="micro") == pytest.approx(4 / 6)
    assert metrics.roc_auc([0, 1, 1], [0.2, 0.1, 0.9]) == 0.5
    assert metrics.log_loss([1, 0], [0.5, 0.75]) == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert metrics.rmse([[0.0, 0], [0, 0]], [[1, 2], [3, 4]]) == pytest.approx(math.sqrt(30 / 4))
    assert metrics.mape([2.0, 4], [1, 5]) == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert metrics.r2([1.0, 2, 3], [1, 2, 5]) == pytest.approx(1 - 4 / 2)
    assert (
        metrics.explained_variance([1.0, 2, 3], [3, 4, 5]) == 1 > metrics.r2([1, 2, 3], [3, 4, 5])
    )
    assert metrics.quantile_coverage([1.0, 2, 3, 4], [2, 2, 2, 2]) == 0.5


def test_of_equal_outputs_the_first_is_the_largest():
    y = np.array([[0.3, 0.3, 0.3, 0.1]])
    assert [metrics.top_k_accuracy([c], y, 2) for c in range(4)] == [1, 1, 0, 0]
    assert [metrics.accuracy([c], y) for c in range(4)] == [1, 0, 0, 0]
    assert [metrics.top_k_accuracy([c], y, 1) for c in range(4)] == [1, 0, 0, 0]


def test_area_counts_pairs():
    """Every pair of a positive and a negative row, those of equal scores half."""
    rng = np.random.default_rng(3)
    score, side, w = rng.integers(0, 6, 50) / 5, rng.random(50) < 0.4, rng.integers(1, 4, 50)
    pairs = np.greater.outer(score[side], score[~side]) + 0.5 * np.equal.outer(
        score[side], score[~side]
    )
    assert metrics.roc_auc(side, score) == pytest.approx(pairs.mean(), rel=1e-14)
    weighted = np.average(pairs, weights=np.outer(w[side], w[~side]))
    assert metrics.roc_auc(side, score, sample_weight=w) == pytest.approx(weighted, rel=1e-14)
    assert 0.2 < weighted < 0.8 and weighted != pytest.approx(pairs.mean())
    assert metrics.roc_auc(side, np.ones(50)) == 0.5
    assert metrics.roc_auc(side, side) == 1 and metrics.roc_auc(side, ~side) == 0
    np.testing.assert_allclose(metrics.roc_auc(side, score * 40 - 7), pairs.mean())


# ---- weights -------------------------------------------------------------------------------------

EVERY = [name for name in metrics.__all__ if name.islower()]
EVERY = sorted(set(EVERY) - {"check", "get", "names"})


def test_every_function_is_here():
    assert sorted((*OF_CLASSES, *OF_NUMBERS, "confusion_matrix", "top_k_accuracy")) == EVERY


def case_of(name: str):
    """Return (y_true, y_pred, settings) that a function means something for."""
    case = GOLDEN["two numbers" if name in OF_NUMBERS else "three classes"]
    settings = {"k": 2} if name == "top_k_accuracy" else {}
    return np.array(case["y_true"]), np.array(case["y_pred"]), settings


@pytest.mark.parametrize("name", EVERY)
def test_a_weight_is_so_many_rows(name):
    function = getattr(metrics, name)
    t, y, settings = case_of(name)
    w = np.arange(len(t)) % 4  # weights of 0 are rows that are not there
    again = np.repeat(np.arange(len(t)), w)
    expected = function(t[again], y[again], **settings)
    np.testing.assert_allclose(function(t, y, sample_weight=w, **settings), expected, rtol=1e-12)
    doubled = function(t, y, sample_weight=w / 8, **settings)
    factor = 8 if name == "confusion_matrix" else 1
    np.testing.assert_allclose(doubled * factor, expected, rtol=1e-12)
    if name != "confusion_matrix":
        assert expected != pytest.approx(function(t, y, **settings), rel=1e-6)
        assert np.isnan(function(t, y, sample_weight=np.zeros(len(t)), **settings))
        assert np.isnan(function(t[:0], y[:0], **settings))
    # A row without weight is not there at all: its class is not one of those of the mean.
    odd = w.copy()
    odd[t.reshape(len(t), -1)[:, 0] == t.ravel()[0]] = 0
    some = odd > 0
    np.testing.assert_allclose(
        function(t, y, sample_weight=odd, **settings),
        function(t[some], y[some], sample_weight=odd[some], **settings),
        rtol=1e-12,
    )


# ---- what is undefined ---------------------------------------------------------------------------


def test_a_class_that_nothing_was_taken_for():
    assert metrics.precision([1, 1, 0], [0.0, 0.1, 0.2]) == 0
    assert metrics.recall([0, 0, 0], [0.0, 0.9, 0.2]) == 0
    assert metrics.f1([0, 0], [0.0, 0.0]) == 0
    # Of three classes one appears nowhere: it has figure 0, and no part in the mean.
    y = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    assert metrics.f1([0, 1], y, average=None).tolist() == [1, 1, 0]
    assert metrics.f1([0, 1], y) == 1
    # Of labels each is asked for.
    assert metrics.f1([[1, 0, 0], [0, 1, 0]], y, multilabel=True) == pytest.approx(2 / 3)
    assert metrics.recall(np.zeros((2, 3)), y, multilabel=True, average="weighted") == 0


def test_an_area_needs_rows_of_both_kinds():
    assert np.isnan(metrics.roc_auc([1, 1], [0.2, 0.4]))
    assert np.isnan(metrics.roc_auc([0, 1], [0.2, 0.4], sample_weight=[1, 0]))
    y = np.array([[0.5, 0.2, 0.3], [0.3, 0.4, 0.3], [0.1, 0.8, 0.1]])
    assert metrics.roc_auc([0, 1, 1], y) == 1  # the mean over the two classes that there are
    assert np.isnan(metrics.roc_auc([1, 1, 1], y))


def test_logarithms_of_zero():
    eps = np.finfo(np.float64).eps
    assert metrics.log_loss([1], [0.0]) == pytest.approx(-math.log(eps))
    single = np.finfo(np.float32).eps
    assert metrics.log_loss([1], np.zeros(1, np.float32)) == pytest.approx(-math.log(single))
    assert metrics.log_loss([0], [0.0]) == pytest.approx(eps)
    assert metrics.log_loss([[0.5, 0.5]], [[0.5, 0.5]]) == pytest.approx(math.log(2))  # soft
    labels = metrics.log_loss([[1, 0], [1, 1]], [[0.5, 0.25], [1, 0.75]], multilabel=True)
    assert labels == pytest.approx((math.log(2) - 2 * math.log(0.75)) / 4)


def test_targets_that_do_not_vary():
    assert metrics.r2([0.1, 0.1, 0.1], [0.1, 0.1, 0.1]) == 1
    assert metrics.r2([0.1, 0.1, 0.1], [0.1, 0.1, 0.2]) == 0
    assert metrics.explained_variance([0.1, 0.1, 0.1], [0.3, 0.3, 0.3]) == 1
    assert metrics.explained_variance([0.1, 0.1, 0.1], [0.3, 0.3, 0.2]) == 0
    assert np.isnan(metrics.r2([1.0], [1.0])) and metrics.explained_variance([1.0], [2.0]) == 1
    assert metrics.mape([0.0], [1.0]) == pytest.approx(1 / np.finfo(np.float64).eps)


# ---- which averages ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AVERAGED)
def test_auto_is_the_positive_class_of_two_and_else_the_mean(name):
    function = getattr(metrics, name)
    one, two, three = (GOLDEN[c] for c in ("one output", "two classes", "three classes"))
    for case, average in ((one, "binary"), (two, "binary"), (three, "macro")):
        t, y, w = case["y_true"], np.array(case["y_pred"]), np.arange(len(case["y_true"]))
        found = function(t, y, sample_weight=w)
        assert found == function(t, y, average=average, sample_weight=w)
        assert found != function(t, y, average="micro", sample_weight=w)
    t, y = one["y_true"], np.array(one["y_pred"])
    assert function(t, y) == function(t, y[:, None]) == function(t, (y > 0.5).astype(int))
    strict = function(t, y, threshold=0.8)
    assert strict == function(t, (y > 0.8).astype(int)) != function(t, y)
    with refused(ValueError, "average='binary'", "two classes, not 3"):
        function(three["y_true"], three["y_pred"], average="binary")
    with refused(ValueError, "unknown average 'mikro'", "Did you mean 'micro'"):
        function(t, y, average="mikro")


def test_labels_are_decided_one_by_one():
    y, t = np.array([[0.9, 0.6], [0.2, 0.1]]), [[1, 0], [0, 0]]
    assert metrics.accuracy(t, y, multilabel=True) == 3 / 4
    assert metrics.precision(t, y, multilabel=True, average=None).tolist() == [1, 0]
    assert metrics.precision(t, y, multilabel=True, average="micro") == 1 / 2
    assert metrics.accuracy(t, y, multilabel=True, threshold=0.7) == 1


# ---- what is refused -----------------------------------------------------------------------------

CLASSES = np.full((3, 3), 1 / 3)
REFUSED = {
    "rows": (cnet.ShapeError, lambda: metrics.f1([0, 1], CLASSES), ["2 rows", "has 3"]),
    "columns": (cnet.ShapeError, lambda: metrics.f1(np.eye(2)[[0, 1, 1]], CLASSES), ["2 columns"]),
    "shape": (cnet.ShapeError, lambda: metrics.mse(np.ones(3), CLASSES), ["must be alike"]),
    "broadcast": (cnet.ShapeError, lambda: metrics.r2(np.ones((3, 1)), CLASSES), ["(3, 1)"]),
    "images": (cnet.ShapeError, lambda: metrics.mae(np.ones((1, 2, 3)), CLASSES), ["y_true"]),
    "class": (ValueError, lambda: metrics.recall([0, 1, 3], CLASSES), ["class 3", "0..2"]),
    "negative": (ValueError, lambda: metrics.accuracy([0, -1], [0, 1]), ["class -1"]),
    "floats": (TypeError, lambda: metrics.accuracy([0.5, 1, 2], CLASSES), ["float64", "class"]),
    "nan": (cnet.NonFiniteError, lambda: metrics.rmse([1.0], [NAN]), ["y_pred", "NaN"]),
    "probability": (ValueError, lambda: metrics.log_loss([1], [1.5]), ["1.5", "within 0..1"]),
    "k": (ValueError, lambda: metrics.top_k_accuracy([0, 1, 1], CLASSES, 0), ["k must be"]),
    "no scores": (cnet.ShapeError, lambda: metrics.top_k_accuracy([0], [1.0]), ["per class"]),
    "threshold": (TypeError, lambda: metrics.f1([1], [0.5], threshold="0.5"), ["threshold"]),
    "weights": (
        cnet.ShapeError,
        lambda: metrics.mse([1.0], [1.0], sample_weight=[1, 2]),
        ["sample_weight", "(1,)"],
    ),
    "minus": (
        ValueError,
        lambda: metrics.mse([1.0], [1.0], sample_weight=[-1]),
        ["sample_weight holds -1"],
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_fit_is_refused(kind):
    error, call, words = REFUSED[kind]
    with refused(error, *(word.replace("(", r"\(").replace(")", r"\)") for word in words)):
        call()

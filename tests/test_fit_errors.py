"""What fit and predict are told besides the data: refused before any bit has changed."""

import numpy as np
import pytest
from networks import Unchanged, classifier, refused, regression, regressor, rows

import cnet


@pytest.fixture
def net():
    """A network of 4 inputs and 2 outputs that has trained before."""
    net = regressor("adam").build(4)
    net.fit(*regression(), verbose=0)
    return net


# ---- settings of fit -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["batch_size", "steps_per_epoch", "epochs"])
def test_counts_of_fit(net, name):
    x, y = regression()
    for value in (-1, 0) if name != "epochs" else (-1,):
        with Unchanged(net), refused(ValueError, f"{name} must be at least", f"got {value}"):
            net.fit(x, y, verbose=0, **{name: value})
    for value in (True, 2.0, "8", np.float64(3)):
        with Unchanged(net), refused(TypeError, f"{name} must be an integer, got"):
            net.fit(x, y, verbose=0, **{name: value})


@pytest.mark.parametrize("value", ["no", 1, None])
def test_shuffle(net, value):
    with Unchanged(net), refused(TypeError, "shuffle must be True or False, got"):
        net.fit(*regression(), shuffle=value, verbose=0)


@pytest.mark.parametrize("value", [3, -1, "yes", None])
def test_verbose(net, value):
    with Unchanged(net), refused(ValueError, "verbose must be 'auto', 0, 1 or 2, got"):
        net.fit(*regression(), verbose=value)


@pytest.mark.parametrize("share", [1.0, -0.1, np.nan])
def test_validation_split_out_of_range(net, share):
    words = ("validation_split must be", "at least 0 and below 1")
    with Unchanged(net), refused(ValueError, *words):
        net.fit(*regression(), validation_split=share, verbose=0)


@pytest.mark.parametrize(("n", "share"), [(3, 0.3), (1, 0.9)])
def test_validation_split_that_leaves_nothing(net, n, share):
    words = (f"validation_split={share} of {n} rows", "without rows")
    with Unchanged(net), refused(cnet.ShapeError, *words):
        net.fit(rows(n, 4), rows(n, 2), validation_split=share, verbose=0)


@pytest.mark.parametrize("share", [True, "a", [0.5]])
def test_validation_split_of_another_type(net, share):
    with Unchanged(net), refused(TypeError, "validation_split must be a number"):
        net.fit(*regression(), validation_split=share, verbose=0)


def test_validation_split_checks_what_it_cuts(net):
    x, y = regression()
    cases = [
        (x, y[:-1], {}, "x has 40 rows but y has 39"),
        (x, 1.0, {}, "y has 0 rows"),
        (x, y, {"sample_weight": np.ones(3)}, r"sample_weight has shape \(3,\)"),
        (x, y, {"sample_weight": 2.0}, r"sample_weight has shape \(\)"),
        ([[1, 2], [3]], [1, 2], {}, "x is not rectangular"),
    ]
    for x_given, y_given, settings, words in cases:
        with Unchanged(net), refused(cnet.ShapeError, words):
            net.fit(x_given, y_given, validation_split=0.25, verbose=0, **settings)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_validation_data_of_other_than_two_or_three_parts(net, count):
    data = (rows(4, 4), rows(4, 2), np.ones(4), None)[:count]
    with Unchanged(net), refused(ValueError, r"validation_data must be \(x, y\)", f"{count} items"):
        net.fit(*regression(), validation_data=data, verbose=0)


@pytest.mark.parametrize("data", [5, "xy", rows(2, 4), {"x": 1, "y": 2}, object()])
def test_validation_data_that_is_no_pair(net, data):
    words = (r"validation_data must be \(x, y\)", type(data).__name__)
    with Unchanged(net), refused(ValueError, *words):
        net.fit(*regression(), validation_data=data, verbose=0)


def test_validation_data_or_a_split(net):
    with Unchanged(net), refused(ValueError, "validation_data or validation_split, not both"):
        net.fit(*regression(), validation_data=regression(), validation_split=0.5, verbose=0)


def test_validation_data_is_checked_before_training(net):
    x, y = regression()
    with Unchanged(net), refused(cnet.ShapeError, "validation x has 40 rows", "validation y has 3"):
        net.fit(x, y, validation_data=(x, y[:3]), verbose=0)


# ---- networks that are not built yet -------------------------------------------------------------


@pytest.mark.parametrize("train", ["fit", "train_on_batch"])
def test_a_call_that_is_refused_does_not_decide_the_width(train):
    x, y = regression()
    net = regressor()
    with refused(cnet.ShapeError, "x has 4 rows but y has 40"):
        getattr(net, train)(x.T, y)
    assert not net.is_built
    getattr(net, train)(x, y)
    assert net.parameters["dense_1.weight"].shape == (4, 5)


# ---- where to write predictions ------------------------------------------------------------------


def read_only(array):
    array.flags.writeable = False
    return array


WRONG_OUT = {
    "rows": np.zeros((5, 3)),
    "too many rows": np.zeros((7, 3)),
    "columns": np.zeros((6, 4)),
    "one dimension": np.zeros(18),
    "three dimensions": np.zeros((6, 3, 1)),
    "float32": np.zeros((6, 3), np.float32),
    "int64": np.zeros((6, 3), np.int64),
    "complex": np.zeros((6, 3), np.complex128),
    "other byte order": np.zeros((6, 3), ">f8"),
    "Fortran order": np.zeros((6, 3), order="F"),
    "strided": np.zeros((12, 3))[::2],
    "reversed": np.zeros((6, 3))[::-1],
    "read-only": read_only(np.zeros((6, 3))),
    "list": [[0.0] * 3] * 6,
    "bytes": bytearray(144),
    "number": 3,
}


@pytest.mark.parametrize("out", WRONG_OUT.values(), ids=WRONG_OUT)
def test_predict_refuses_an_array_that_results_do_not_fit(out):
    net = classifier().build(4)
    before = np.array(out)
    with refused(ValueError, "out must be", "C-contiguous", "float64", r"\(6, 3\)"):
        net.predict(rows(6, 4), out=out)
    assert np.array_equal(before, np.array(out))


def test_predict_does_not_write_over_its_input():
    net = cnet.Sequential([cnet.Dense(4)], seed=0).build(4)
    x = rows(6, 4, "float32")
    before = x.copy()
    for given, out in ((x, x), (x[2:5], x[:3]), (x[:3], x[2:5])):
        with refused(ValueError, "out must not overlap x"):
            net.predict(given, out=out)
    assert np.array_equal(x, before)

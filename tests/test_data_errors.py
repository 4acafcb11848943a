"""Data that is refused: in which words, and that no bit has changed by then."""

import numpy as np
import pytest
from networks import (
    Unchanged,
    classes,
    classifier,
    linear,
    refused,
    regression,
    regressor,
    rows,
    snapshot,
)

import cnet

# Every way by which rows come in; those that take targets too, check them alike.
WITH_TARGETS = {
    "fit": lambda net, x, y, **kw: net.fit(x, y, verbose=0, **kw),
    "train_on_batch": lambda net, x, y, **kw: net.train_on_batch(x, y, **kw),
    "evaluate": lambda net, x, y, **kw: net.evaluate(x, y, **kw),
    "validation": lambda net, x, y, **kw: net.fit(
        rows(8, 4), np.zeros(y_of(net)), validation_data=(x, y, *kw.values()), verbose=0
    ),
}
WITHOUT_TARGETS = {
    "predict": lambda net, x: net.predict(x),
    "predict_classes": lambda net, x: net.predict_classes(x),
    "forward": lambda net, x: net.forward(x),
}
targets_too = pytest.mark.parametrize("call", WITH_TARGETS.values(), ids=WITH_TARGETS)
anywhere = pytest.mark.parametrize("name", [*WITH_TARGETS, *WITHOUT_TARGETS])


def y_of(net):
    """Return the shape of targets for eight rows."""
    return (8, net.built.outputs)


def give(name, net, x, y):
    """Hand x (and y, where it is wanted) to one of the ways above."""
    if name in WITH_TARGETS:
        return WITH_TARGETS[name](net, x, y)
    return WITHOUT_TARGETS[name](net, x)


@pytest.fixture
def net():
    """A network of 4 inputs and 2 outputs that has trained before."""
    net = regressor("adam").build(4)
    net.fit(*regression(), verbose=0)
    return net


@pytest.fixture
def trained_classifier():
    net = classifier().build(4)
    net.fit(*classes(), verbose=0)
    return net


# ---- shapes --------------------------------------------------------------------------------------


@anywhere
@pytest.mark.parametrize("shape", [(6, 3), (6, 5), (6, 2, 2), (6, 4, 1)])
def test_rows_of_another_width(net, name, shape):
    with Unchanged(net), refused(cnet.ShapeError, "x has shape", "dense_1 expects", r"\(N, 4\)"):
        give(name, net, np.ones(shape), np.ones((6, 2)))


@anywhere
def test_rows_and_columns_exchanged(net, name):
    with Unchanged(net), refused(cnet.ShapeError, r"\(4, 9\)", "did you mean .*x.T"):
        give(name, net, np.ones((4, 9)), np.ones((4, 2)))


@anywhere
@pytest.mark.parametrize("x", [np.ones(4), 3.0, []])
def test_rows_that_are_no_matrix(net, name, x):
    with Unchanged(net), refused(cnet.ShapeError, r"must be \(rows, columns\)", "reshape"):
        give(name, net, x, np.ones((4, 2)))


@anywhere
def test_rows_of_unequal_length(net, name):
    with Unchanged(net), refused(cnet.ShapeError, "x is not rectangular"):
        give(name, net, [[1, 2, 3, 4], [1, 2, 3]], np.ones((2, 2)))


@targets_too
@pytest.mark.parametrize("count", [0, 5, 7])
def test_as_many_targets_as_rows(net, call, count):
    with Unchanged(net), refused(cnet.ShapeError, "x has 6 rows", f"y has {count} rows"):
        call(net, np.ones((6, 4)), np.ones((count, 2)))


@targets_too
def test_a_single_target(net, call):
    with Unchanged(net), refused(cnet.ShapeError, "y has a single value", "every row"):
        call(net, np.ones((6, 4)), 1.0)


@targets_too
def test_no_rows(net, call):
    with Unchanged(net), refused(cnet.ShapeError, "x has no rows"):
        call(net, np.ones((0, 4)), np.ones((0, 2)))


def test_no_columns():
    with refused(cnet.ShapeError, r"x has shape \(6, 0\)", "give columns"):
        regressor().fit(np.ones((6, 0)), np.ones((6, 2)))


@targets_too
@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3), (6, 2, 1), (6, 1, 2)])
def test_nothing_is_broadcast_to_several_outputs(net, call, shape):
    words = ("y has shape", r"expects targets of \(6, 2\)")
    with Unchanged(net), refused(cnet.ShapeError, *words):
        call(net, np.ones((6, 4)), np.ones(shape))


@targets_too
@pytest.mark.parametrize("shape", [(6, 2), (6, 1, 1), (1, 6)])
def test_nothing_is_broadcast_to_one_output(call, shape):
    net = regressor(outputs=1).build(4)
    with Unchanged(net), refused(cnet.ShapeError, "y has"):
        call(net, np.ones((6, 4)), np.ones(shape))


@pytest.mark.parametrize("loss", ["mse", "mae", "rmse", "huber", "cosine"])
def test_a_flat_target_is_one_column_where_one_is_wanted(loss):
    x, y = regression(outputs=1)
    flat, column = regressor(loss=loss, outputs=1), regressor(loss=loss, outputs=1)
    histories = [flat.fit(x, y[:, 0], verbose=0), column.fit(x, y, verbose=0)]
    assert histories[0]["loss"] == histories[1]["loss"]
    assert snapshot(flat) == snapshot(column)
    assert flat.evaluate(x, y[:, 0]) == column.evaluate(x, y)


def test_means_and_variances_want_half_as_many_targets():
    net = regressor(loss="gaussian_nll").build(4)
    x, y = regression(outputs=2)
    with Unchanged(net), refused(cnet.ShapeError, r"targets of \(40, 1\)"):
        net.fit(x, y, verbose=0)
    net.fit(x, y[:, 0], verbose=0)


# ---- dtypes --------------------------------------------------------------------------------------

WRONG_DTYPES = {
    "object": (np.ones((6, 4), object), "dtype object"),
    "None": (None, "is None"),
    "a generator": ((row for row in np.ones((6, 4))), "is a generator.*list"),
    "a dict": ({"a": 1}, "is a dict"),
    "strings": (np.full((6, 4), "1"), "np.unique"),
    "bytes": (np.full((6, 4), b"1"), "np.unique"),
    "complex": (np.ones((6, 4), complex), "real and the imaginary part"),
    "datetime": (np.ones((6, 4), "datetime64[s]"), "datetime64"),
    "timedelta": (np.ones((6, 4), "timedelta64[s]"), "timedelta64"),
    "structured": (np.ones((6,), [("a", "f8"), ("b", "f8")]), "expected numbers"),
    "masked": (np.ma.masked_array(np.ones((6, 4)), np.eye(6, 4) > 0), "mask would be lost"),
}
each_wrong_dtype = pytest.mark.parametrize("kind", WRONG_DTYPES)


@anywhere
@each_wrong_dtype
def test_rows_that_are_not_numbers(net, name, kind):
    x, word = WRONG_DTYPES[kind]
    with Unchanged(net), refused(TypeError, "x", word):
        give(name, net, x, np.ones((6, 2)))


@targets_too
@each_wrong_dtype
def test_targets_that_are_not_numbers(net, call, kind):
    y, word = WRONG_DTYPES[kind]
    with Unchanged(net), refused(TypeError, "y", word):
        call(net, np.ones((6, 4)), y[..., :2] if isinstance(y, np.ndarray) else y)


def test_numpys_new_strings_are_strings():
    if not hasattr(np.dtypes, "StringDType"):
        pytest.skip("NumPy before 2.0")
    with refused(TypeError, "x has dtype", "np.unique"):
        regressor().build(4).predict(np.full((6, 4), "1", np.dtypes.StringDType()))


def test_a_mask_that_hides_nothing_is_no_harm():
    net = linear(4, 2)
    x = rows(6, 4)
    assert np.array_equal(net.predict(np.ma.masked_array(x)), net.predict(x))


# ---- NaN and infinity ----------------------------------------------------------------------------


@targets_too
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_first_value_that_is_not_finite_is_named(net, call, bad, dtype):
    x, y = rows(300, 4, dtype), rows(300, 2, dtype)
    x[217, 2] = x[250, 0] = bad
    with Unchanged(net), refused(cnet.NonFiniteError, "x holds NaN or inf", "row 217, column 2"):
        call(net, x, y)
    x[[217, 250]] = 0
    y[131, 1] = y[132, 0] = bad
    with Unchanged(net), refused(cnet.NonFiniteError, "y holds NaN or inf", "row 131, column 1"):
        call(net, x, y)


@pytest.mark.parametrize("view", ["reversed", "every other column", "Fortran"])
def test_the_index_is_that_of_the_view(net, view):
    x = rows(70, 8)
    x = {"reversed": x[::-1, :4], "every other column": x[:, ::2], "Fortran": x[:, :4].copy("F")}[
        view
    ]
    x[66, 3] = np.nan
    with Unchanged(net), refused(cnet.NonFiniteError, "row 66, column 3"):
        net.fit(x, rows(70, 2), verbose=0)


def test_values_beside_a_view_are_nobodys_business(net):
    x = np.full((40, 8), np.nan)
    x[:, ::2] = rows(40, 4)
    net.fit(x[:, ::2], regression()[1], verbose=0)


# ---- class indices -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fit", "train_on_batch", "evaluate"])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int16])
def test_class_indices_above_the_last(trained_classifier, name, dtype):
    net = trained_classifier
    labels = np.array([0, 1, 2, 5, 4, 0], dtype)
    words = (r"y\[3\] is class 5", "3 units", r"0\.\.2", "give it 6 units", "np.unique")
    with Unchanged(net), refused(ValueError, *words):
        give(name, net, rows(6, 4), labels)


def test_class_indices_of_validation_data(trained_classifier):
    net = trained_classifier
    x, labels = classes()
    with Unchanged(net), refused(ValueError, r"validation y\[0\] is class 3"):
        net.fit(x, labels, validation_data=(x[:2], np.array([3, 0])), verbose=0)


def test_class_indices_below_zero(trained_classifier):
    net = trained_classifier
    with Unchanged(net), refused(ValueError, r"y\[1\] is class -1", "renumber") as caught:
        net.fit(rows(3, 4), np.array([0, -1, 2]), verbose=0)
    assert "give it" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (np.array([0.0, 1.0, 2.0]), TypeError, ("expected integer class", r"astype\(np.int64\)")),
        (np.array([[0], [1], [2]]), cnet.ShapeError, (r"must be class indices \(N,\)", "ravel")),
        (np.eye(3), cnet.ShapeError, ("class indices", "loss='categorical_crossentropy'")),
        (np.array(["a", "b", "c"]), TypeError, ("np.unique",)),
    ],
)
def test_what_is_no_class_index(trained_classifier, labels, error, words):
    net = trained_classifier
    with Unchanged(net), refused(error, "y", *words):
        net.fit(rows(3, 4), labels, verbose=0)


def test_class_indices_belong_to_the_sparse_loss():
    net = cnet.Sequential([cnet.Dense(3, "softmax", inputs=4)], seed=0)
    net.compile("sgd", "categorical_crossentropy")
    with Unchanged(net), refused(cnet.ShapeError, "loss='sparse_categorical_crossentropy'"):
        net.fit(rows(3, 4), np.array([0, 1, 2]), verbose=0)


@pytest.mark.parametrize(
    ("loss", "activation", "target", "words"),
    [
        ("binary_crossentropy", "sigmoid", 1.5, "between 0 and 1"),
        ("binary_crossentropy", "sigmoid", -0.5, "between 0 and 1"),
        ("categorical_crossentropy", "softmax", 2, "between 0 and 1"),
        ("kl_divergence", "softmax", -1, "between 0 and 1"),
        ("poisson", "exponential", -1, "between 0 and inf"),
        ("hinge", "tanh", 0, "-1 or 1"),
        ("squared_hinge", "tanh", 2, "-1 or 1"),
    ],
)
def test_targets_that_a_loss_has_no_meaning_for(loss, activation, target, words):
    net = cnet.Sequential([cnet.Dense(2, activation, inputs=4)], seed=0).compile("sgd", loss)
    y = np.ones((6, 2))
    y[4, 1] = target
    with Unchanged(net), refused(ValueError, "y at row 4, column 1", f"'{loss}'", words):
        net.fit(rows(6, 4), y, verbose=0)


# ---- weights of rows -----------------------------------------------------------------------------


@targets_too
@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        (np.ones(5), cnet.ShapeError, (r"\(5,\)", r"expected \(6,\)")),
        (np.ones((6, 1)), cnet.ShapeError, (r"\(6, 1\)", r"expected \(6,\)")),
        (1.0, cnet.ShapeError, (r"\(\)", r"expected \(6,\)")),
        (["heavy"] * 6, TypeError, ("expected numbers",)),
        (np.array([1, 1, -0.5, 1, 1, -1]), ValueError, (r"\[2\] is -0.5", "not negative")),
        (np.array([1, 1, 1, np.nan, 1, 1]), cnet.NonFiniteError, ("row 3",)),
    ],
)
def test_weights_of_rows(net, call, weights, error, words):
    with Unchanged(net), refused(error, "sample_weight", *words):
        call(net, rows(6, 4), rows(6, 2), sample_weight=weights)


def test_weights_of_validation_data_are_named_so(net):
    x, y = rows(6, 4), rows(6, 2)
    with Unchanged(net), refused(cnet.ShapeError, "validation sample_weight has shape"):
        net.fit(x, y, validation_data=(x, y, np.ones(3)), verbose=0)

"""Streams that end, fail or do not fit: what is said, and that the network is whole."""

import numpy as np
import pytest
from networks import Unchanged, linear, refused, regression, regressor, rows
from runs import cut, trained
from test_interrupt import CtrlC

import cnet

QUIET = {"verbose": 0}

# ---- what ends a run -----------------------------------------------------------------------------


def test_a_batch_that_is_wrong_is_named_and_the_ones_before_it_are_trained():
    x, y = regression(40)
    for wrong, words in (
        ((x[:5, :3], y[:5]), (r"batch 3: x has shape \(5, 3\)",)),
        ((x[:5], y[:4]), ("batch 3: x has 5 rows", "batch 3: y has 4")),
        ((np.full((5, 4), np.nan), y[:5]), ("batch 3: x holds NaN", "row 0")),
        ((x[:5], y[:5], -np.ones(5)), (r"batch 3: sample_weight\[0\]",)),
        ((x[:0], y[:0]), ("batch 3: x has no rows",)),
        ((x[:5],), ("batch 3 must be", "got 1 items")),
        (x[:5], ("batch 3 must be", "got ndarray")),
    ):
        net, other = regressor("adam"), regressor("adam")
        batches = cut(x, y)
        other.fit(batches[:2], **QUIET)
        with refused((TypeError, ValueError), *words):
            net.fit([*batches[:2], wrong, *batches[2:]], **QUIET)
        assert trained(net) == trained(other)
        assert len(net.history) == 0


def test_an_error_of_the_users_own_code_passes_through():
    def failing():
        yield from cut(*regression(16))
        raise LookupError("the disk is full")

    net, other = regressor("adam"), regressor("adam")
    other.fit(cut(*regression(16)), **QUIET)
    with refused(LookupError, "the disk is full"):
        net.fit(failing(), **QUIET)
    assert trained(net) == trained(other)


def test_a_loss_that_is_not_finite_is_found_in_the_batch_that_it_was():
    x, y = rows(40, 4), rows(40, 2)
    x[27] = 1e200
    net, other = linear(4, 2), linear(4, 2)
    with refused(cnet.NonFiniteError, "epoch 1, batch 4: ", "The batch changed nothing"):
        net.fit(cut(x, y), **QUIET)
    other.fit(cut(x, y)[:3], **QUIET)
    assert trained(net) == trained(other)


def test_ctrl_c_while_the_next_batch_is_made():
    x, y = regression(8)

    def slow():
        yield x, y
        while True:
            sum(range(1000))

    net, other = regressor(), regressor()
    with CtrlC(0.2) as ctrl_c:
        history = net.fit(slow(), steps_per_epoch=5, epochs=2, **QUIET)
    assert history.interrupted and ctrl_c.late < 1
    other.train_on_batch(x, y)
    assert trained(net) == trained(other)


def test_ctrl_c_while_much_data_is_looked_through():
    """Nothing has begun yet, so that there is no history to return."""
    x = np.broadcast_to(np.zeros(1000, np.float32), (10**8, 1000))
    y = np.broadcast_to(np.zeros(2, np.float32), (10**8, 2))
    net = regressor()
    with CtrlC(0.2) as ctrl_c, pytest.raises(KeyboardInterrupt):
        net.fit(x, y, shuffle=False, **QUIET)
    assert ctrl_c.late < 1 and not net.is_built


def test_one_row_alone_cannot_be_normalised_by_its_batch():
    layers = [cnet.BatchNormalization(), cnet.Dense(2)]
    net = cnet.Sequential(layers, seed=1, dtype="float64").compile("adam")
    x, y = regression(40)
    net.fit([(x[:30], y[:30]), (x[30:], y[30:])], **QUIET)  # memory for whole batches, that grows
    with refused(cnet.ShapeError, "batch 2: ", "one row"):
        net.fit([(x[:5], y[:5]), (x[:1], y[:1])], **QUIET)


# ---- what is refused before anything changes -----------------------------------------------------

EPOCHS = cnet.SGD(learning_rate=cnet.schedules.Step(0.1, 1, per="epoch"))
REFUSED = {
    "targets of their own": (
        lambda x, y: iter(cut(x, y)), {"sample_weight": [1]}, "leave sample_weight out",
    ),
    "no last rows": (lambda x, y: cut(x, y), {"validation_split": 0.2}, "give validation_data"),
    "not counted": (lambda x, y: cut(x, y), {"class_weight": "balanced"}, "must be a dict"),
    "once": (lambda x, y: iter(cut(x, y)), {"epochs": 2}, "give steps_per_epoch"),
    "again": (lambda x, y: iter(cut(x, y)), {"resume": "none"}, "batches that come again"),
    "empty": (lambda x, y: iter([]), {}, "x gives no batches"),
    "function of nothing": (lambda x, y: lambda: None, {}, "returned None"),
    "first batch": (lambda x, y: cut(x[:, :3], y), {}, "batch 1: x has shape"),
    "rows alone": (lambda x, y: x.tolist(), {}, "y is None"),
    "array alone": (lambda x, y: x, {}, "y is None"),
    "validated once": (
        lambda x, y: cut(x, y), {"validation_data": iter([1]), "epochs": 2}, "2 epochs: give",
    ),
    "no validation": (
        lambda x, y: cut(x, y), {"validation_data": list}, "validation x gives no batches",
    ),
    "validation": (
        lambda x, y: cut(x, y), {"validation_data": [(np.ones((2, 3)), np.ones((2, 2)))]},
        "validation batch 1: x has shape",
    ),
    "batch size": (lambda x, y: cut(x, y), {"batch_size": "large"}, "batch_size must be an int"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_changes_nothing(name):
    given, settings, words = REFUSED[name]
    x, y = regression(40)
    with Unchanged(regressor().build(4)) as net, refused((TypeError, ValueError), words):
        net.fit(given(x, y), **settings | QUIET)
    unbuilt = regressor()
    if words != "batch 1: x has shape":
        with refused((TypeError, ValueError), words):
            unbuilt.fit(given(x, y), **settings | QUIET)
        assert not unbuilt.is_built


def test_a_schedule_over_epochs_needs_to_know_them():
    x, y = regression(40)
    with Unchanged(regressor(EPOCHS).build(4)) as net, refused(ValueError, "give steps_per_epoch"):
        net.fit(lambda: iter(cut(x, y)), **QUIET)
    net.fit(lambda: iter(cut(x, y)), steps_per_epoch=5, epochs=2, **QUIET)
    assert net.learning_rate == pytest.approx(0.01)


def test_targets_beside_a_generator():
    x, y = regression(40)
    with refused(TypeError, "x is a"):
        regressor().fit(iter(cut(x, y)), y, **QUIET)

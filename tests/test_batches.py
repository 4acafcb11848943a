"""The compiled loop refuses what it could not read: it is public, and it does not look twice."""

import numpy as np
import pytest

import cnet
from cnet._core.sources import Source
from cnet._core.training import Batches

ROWS, INPUTS, CLASSES = 6, 3, 4


@pytest.fixture
def core():
    net = cnet.Sequential([cnet.Dense(CLASSES, "softmax")], seed=1)
    return net.build(INPUTS).built.core


def batches(core, *, x=(ROWS, INPUTS), targets=None, weights=None, size=2, metrics=(), loss=None):
    loss = loss or "sparse_categorical_crossentropy_logits"
    if targets is None:
        targets = np.arange(ROWS) % CLASSES
    elif not isinstance(targets, np.ndarray):
        targets = Source(np.zeros(targets, np.float32))
    return Batches(
        core, Source(np.ones(x, np.float32)), targets,
        None if weights is None else Source(np.ones(weights, np.float32)),
        size, loss, 0.0, 0.0, False, True, metrics,
    )  # fmt: skip


def test_what_fits_runs(core):
    work = batches(core, weights=(ROWS, 1), metrics=("sparse_accuracy",))
    work.begin(np.arange(ROWS)[::-1].copy())
    work.reset_sums()
    assert work.run(10)
    assert (work.steps, work.rows_done) == (3, ROWS)
    assert work.metric_sums[0, 1] == ROWS


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"x": (ROWS, INPUTS + 1)}, "x has shape"),
        ({"targets": np.arange(ROWS - 1) % CLASSES}, "targets must be"),
        ({"targets": np.full(ROWS, CLASSES)}, "targets must be"),
        ({"targets": np.full(ROWS, -1)}, "targets must be"),
        ({"weights": (ROWS - 1, 1)}, "weights has shape"),
        ({"size": 0}, "batch_size is 0"),
        ({"metrics": ("mse",)}, "metric 'mse'"),
        ({"metrics": ("no such",)}, "metric 'no such'"),
        ({"loss": "mse", "targets": (ROWS, CLASSES - 1)}, "targets has shape"),
        ({"loss": "mse", "targets": (ROWS + 1, CLASSES)}, "targets has shape"),
        ({"loss": "gaussian_nll", "targets": (ROWS, CLASSES)}, "targets has shape"),
    ],
)
def test_what_does_not_fit_is_refused(core, wrong, message):
    with pytest.raises(ValueError, match=message):
        batches(core, **wrong)


@pytest.mark.parametrize(
    "order",
    [
        np.arange(2),
        np.arange(ROWS, dtype=np.int32),
        np.arange(2 * ROWS)[::2],
        np.arange(1, ROWS + 1),
        np.arange(-1, ROWS - 1),
    ],
    ids=["short", "int32", "strided", "beyond", "negative"],
)
def test_orders_that_are_none_are_refused(core, order):
    with pytest.raises(ValueError, match="order must be a C-contiguous int64 array of 6 indices"):
        batches(core).begin(order)


def test_a_single_logit_counts_from_zero():
    net = cnet.Sequential([cnet.Dense(1, use_bias=False)], seed=1).build(1)
    net.set_weights([[[1.0]]])
    x = np.array([[-1.0], [0.25], [2.0]])
    net.compile("sgd", cnet.losses.BinaryCrossentropy(from_logits=True))
    assert net.predict_classes(x).tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match="from_logits=True; use a sigmoid layer"):
        net.compile("sgd", cnet.losses.BinaryCrossentropy(from_logits=True), ["accuracy"])


def test_every_batch_has_its_learning_rate():
    """Three steps of plain gradient descent with rates 0, 1, 0 move as one step with rate 1."""
    x, y = np.eye(3, dtype=np.float32), np.full((3, 1), 2, np.float32)

    def weights(rates):
        net = cnet.Sequential([cnet.Dense(1, use_bias=False)], seed=1).build(3)
        net.compile(cnet.SGD(0.5), "mse")
        before = net.get_weights()[0].copy()
        work = Batches(
            net.built.core, Source(x), Source(y), None, 1, "mse", 0.0, 0.0, True, False, (),
            net.rule,
        )  # fmt: skip
        work.begin()
        assert work.run(3, rates)
        assert net.learning_rate == (0.5 if rates is None else rates[-1])
        return before, net.get_weights()[0]

    before, after = weights(np.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose((after - before).ravel(), [0, 2 * (2 - before[1, 0]), 0], rtol=1e-6)
    before, after = weights(None)
    np.testing.assert_allclose(after, before + 0.5 * 2 * (2 - before), rtol=1e-6)


def test_rates_that_do_not_fit_are_refused(core):
    work = batches(core)
    work.begin()
    with pytest.raises(ValueError, match="there is no rule"):
        work.run(2, np.ones(2))
    with pytest.raises(ValueError, match="rates has shape"):
        work.run(2, np.ones(3))


@pytest.mark.parametrize("ordered", [False, True])
def test_outputs_are_collected_at_the_rows_own_places(core, ordered):
    x = np.random.default_rng(0).standard_normal((ROWS, INPUTS)).astype(np.float32)
    outputs = np.full((ROWS, CLASSES), np.nan, np.float32)
    work = Batches(
        core, Source(x), np.arange(ROWS) % CLASSES, None, 4,
        "sparse_categorical_crossentropy_logits", 0.0, 0.0, False, True, outputs=outputs,
    )  # fmt: skip
    work.begin(np.array([3, 0, 5, 1, 4, 2]) if ordered else None)
    assert work.run(10)
    np.testing.assert_allclose(outputs, core.predict(x), rtol=1e-5)


def test_outputs_of_another_shape_are_refused(core):
    with pytest.raises(ValueError, match="out must be"):
        Batches(
            core, Source(np.ones((ROWS, INPUTS), np.float32)), np.zeros(ROWS, np.int64), None, 2,
            "sparse_categorical_crossentropy", 0.0, 0.0, False, False,
            outputs=np.empty((ROWS, CLASSES + 1), np.float32),
        )  # fmt: skip

"""L-BFGS: its parts against their definitions, its minima against others', its place in `fit`."""

import copy
import itertools
import math

import numpy as np
import pytest
from networks import Unchanged, classes, losses_of, refused, regression, regressor, rows, snapshot

import cnet
from cnet import lbfgs

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
WHOLE = {"batch_size": None, "verbose": 0}


def made(dtype="float64", optimizer=None, **settings):
    return regressor(optimizer or cnet.LBFGS(), dtype=dtype, **settings).build(4)


# ---- parts ---------------------------------------------------------------------------------------


def test_direction_is_that_of_the_matrix():
    """The product with the inverse Hessian as BFGS builds it up, update by update."""
    rng = np.random.default_rng(0)
    hessian = np.diag(rng.uniform(0.5, 5, 7))
    pairs = [(s, hessian @ s) for s in rng.standard_normal((4, 7))]
    s, y = pairs[-1]
    inverse = np.eye(7) * (s @ y) / (y @ y)
    for s, y in pairs:
        rho = 1 / (s @ y)
        left = np.eye(7) - rho * np.outer(s, y)
        inverse = left @ inverse @ left.T + rho * np.outer(s, s)
    gradient = rng.standard_normal(7)
    np.testing.assert_allclose(lbfgs.direction(gradient, pairs), -inverse @ gradient, rtol=1e-12)
    np.testing.assert_array_equal(lbfgs.direction(gradient, []), -gradient)


LINES = {
    "quadratic": (lambda t: (t - 3) ** 2, lambda t: 2 * (t - 3)),
    "far": (lambda t: (t - 3e4) ** 2, lambda t: 2 * (t - 3e4)),
    "near": (lambda t: (t - 1e-4) ** 2, lambda t: 2 * (t - 1e-4)),
    "quartic": (lambda t: (t - 2) ** 4 - t, lambda t: 4 * (t - 2) ** 3 - 1),
    "waves": (lambda t: np.sin(3 * t) - 0.5 * t + 0.1 * t * t - 4 * np.tanh(t),
              lambda t: 3 * np.cos(3 * t) - 0.5 + 0.2 * t - 4 / np.cosh(t) ** 2),
    "wall": (lambda t: -np.log(1 - t) - 5 * t if t < 1 else math.inf,
             lambda t: 1 / (1 - t) - 5 if t < 1 else math.nan),
    # Nocedal and Wright's own test problem is More and Thuente's first (1994), beta = 2.
    "more_thuente": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
}  # fmt: skip


@pytest.mark.parametrize("first", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize(("value", "slope"), LINES.values(), ids=LINES)
def test_a_search_ends_where_the_strong_wolfe_conditions_hold(value, slope, first):
    asked = []

    def phi(t):
        asked.append(t)
        return lbfgs.Trial(t, float(value(t)), float(slope(t)))

    start = phi(0.0)
    found = lbfgs.search(phi, start, first)
    assert found.value <= start.value + 1e-4 * found.at * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)
    assert len(asked) <= 1 + lbfgs.EVALUATIONS


def test_a_search_that_finds_nothing_says_so_and_ends():
    start, asked = lbfgs.Trial(0.0, 1.0, -1.0), []

    def up(t):
        asked.append(t)
        return lbfgs.Trial(t, 1.0 + t, 1.0)

    assert lbfgs.search(up, start, 1.0) is None
    assert lbfgs.search(lambda t: lbfgs.Trial(t, math.inf, math.nan), start, 1.0) is None
    assert len(asked) == lbfgs.EVALUATIONS


# ---- minima --------------------------------------------------------------------------------------


@each_dtype
def test_ridge_regression_is_solved(dtype):
    """Against the normal equations; more columns than pairs are remembered."""
    x, y = rows(80, 25, seed=1), rows(80, 2, seed=2)
    decay = 0.1
    net = cnet.Sequential([cnet.Dense(2, use_bias=False)], seed=1, dtype=dtype)
    net.compile(cnet.LBFGS(weight_decay=decay), "mse")
    history = net.fit(x, y, epochs=60, **WHOLE)
    expected = np.linalg.solve(2 * x.T @ x / y.size + decay * np.eye(25), 2 * x.T @ y / y.size)
    tolerance = {"float32": 2e-4, "float64": 1e-6}[dtype]
    np.testing.assert_allclose(net.parameters["dense_1.weight"], expected, atol=tolerance)
    assert history.stopped and len(history) < 60
    if dtype == "float64":
        assert history.stopped == "no gradient is above 1e-07"
        net.zero_gradients()
        net.backward(cnet.losses.get("mse").gradient(net.forward(x), y))
        slope = net.gradients["dense_1.weight"] + decay * net.parameters["dense_1.weight"]
        assert np.abs(slope).max() < 1.1e-7


def test_it_needs_far_fewer_passes_than_gradient_descent():
    x, y = regression(n=100)
    net, descent = made(), made(optimizer=cnet.SGD(learning_rate=0.1, momentum=0.9))
    losses = net.fit(x, y, epochs=80, **WHOLE)["loss"]
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))
    assert losses[-1] < descent.fit(x, y, epochs=800, **WHOLE)["loss"][-1]


@each_dtype
def test_the_loss_of_the_history_is_that_of_the_network(dtype):
    x, y = regression(dtype=dtype)
    net = made(dtype, metrics=["mae"])
    for _ in range(5):
        history = net.fit(x, y, epochs=3, validation_data=(x, y), **WHOLE)
        for figure in ("loss", "mae"):
            assert history[figure][-1] == pytest.approx(net.evaluate(x, y)[figure], rel=1e-5)
        assert history["loss"] == pytest.approx(history["val_loss"], rel=1e-5)


def minimum_of_scipy(x, y):
    optimize = pytest.importorskip("scipy.optimize")
    net = made(optimizer="sgd", loss="huber")
    core, loss = net.built.core, cnet.losses.get("huber")

    def both(p):
        core.parameters[:] = p
        outputs = net.forward(x)
        net.zero_gradients()
        net.backward(loss.gradient(outputs, y))
        return loss(outputs, y), core.gradients.astype(float)

    start = core.parameters.copy()
    options = {"maxcor": 10, "gtol": 1e-9, "ftol": 1e-15, "maxiter": 3000, "maxfun": 9000}
    return optimize.minimize(both, start, jac=True, method="L-BFGS-B", options=options).fun


def test_the_minimum_is_scipys():
    x, y = regression(n=12)
    net = made(loss="huber")
    losses = net.fit(x, y, epochs=600, **WHOLE)["loss"]
    assert losses[-1] <= 1.01 * minimum_of_scipy(x, y) + 1e-10


def test_the_way_is_as_short_as_torchs():
    torch = pytest.importorskip("torch")
    x, y = regression(n=100)
    net = made()
    tensors = [torch.tensor(w, requires_grad=True) for w in net.get_weights()]
    inputs, targets = torch.tensor(x), torch.tensor(y)
    theirs = torch.optim.LBFGS(tensors, max_iter=1, history_size=10, line_search_fn="strong_wolfe")

    def loss():
        w, b, v, c = tensors
        return torch.nn.functional.mse_loss(torch.tanh(inputs @ w + b) @ v + c, targets)

    def closure():
        theirs.zero_grad()
        value = loss()
        value.backward()
        return value

    path = []
    for _ in range(40):
        theirs.step(closure)
        path.append(loss().item())
    losses = net.fit(x, y, epochs=40, **WHOLE)["loss"]
    # The first steps are the same to some digits, later ones go their own ways to as low a loss.
    np.testing.assert_allclose(losses[:2], path[:2], rtol=0.02)
    assert losses[-1] < 1.05 * path[-1]


# ---- in fit --------------------------------------------------------------------------------------


@each_dtype
def test_two_runs_are_one_also_through_a_file(dtype, tmp_path):
    x, y = regression(dtype=dtype)
    optimizer = cnet.LBFGS(memory=4)
    whole, parts = made(dtype, optimizer), made(dtype, optimizer)
    history = whole.fit(x, y, epochs=12, **WHOLE)
    first = parts.fit(x, y, epochs=7, **WHOLE)
    cnet.save(parts, tmp_path / "net")
    for net in (cnet.load(tmp_path / "net"), copy.deepcopy(parts), parts):
        second = net.fit(x, y, epochs=5, **WHOLE)
        assert losses_of(first) + losses_of(second) == losses_of(history)
        assert snapshot(net) == snapshot(whole)


def test_a_checkpoint_goes_on_to_the_same_bits(tmp_path):
    x, y = regression()
    whole, cut, resumed = made(), made(), made()
    history = whole.fit(x, y, epochs=8, **WHOLE)
    keep = cnet.callbacks.Checkpoint(tmp_path, every=1)
    stop = cnet.callbacks.LambdaCallback(on_epoch_end=lambda run, _: 1 // (run.epoch != 4))
    with pytest.raises(ZeroDivisionError):
        cut.fit(x, y, epochs=8, callbacks=[keep, stop], **WHOLE)
    other = resumed.fit(x, y, epochs=8, callbacks=[keep], resume=tmp_path, **WHOLE)
    assert losses_of(other) == losses_of(history)
    assert snapshot(resumed) == snapshot(whole)


@each_dtype
def test_threads_and_pieces_change_nothing_that_they_should_not(dtype):
    x, y = regression(n=2500, dtype=dtype)
    nets = [made(dtype) for _ in range(2)]
    for net, threads in zip(nets, (1, 2), strict=True):
        net.fit(x, y, epochs=5, threads=threads, **WHOLE)
    assert snapshot(nets[0]) == snapshot(nets[1])
    assert nets[0].rule.running[0] == 5


def test_batch_size_need_not_be_said():
    x, y = regression()
    net, other = made(), made()
    net.fit(x, y, epochs=3, verbose=0)
    other.fit(x, y, epochs=3, batch_size=len(x), verbose=0)
    assert snapshot(net) == snapshot(other)


def test_weights_of_rows_and_penalties_are_part_of_what_is_minimised():
    x, y = rows(30, 3, seed=1), rows(30, 1, seed=2)
    weights = np.random.default_rng(3).uniform(0, 2, 30)
    layer = cnet.Dense(1, use_bias=False, kernel_regularizer=cnet.regularizers.L2(0.05))
    net = cnet.Sequential([layer], seed=1, dtype="float64").compile(cnet.LBFGS(), "mse")
    net.fit(x, y, sample_weight=weights, epochs=40, **WHOLE)
    scaled = weights[:, None] / 30
    expected = np.linalg.solve(x.T @ (scaled * x) + 0.05 * np.eye(3), x.T @ (scaled * y))
    np.testing.assert_allclose(net.parameters["dense_1.weight"], expected, atol=1e-7)


def test_frozen_layers_stay_and_the_others_reach_their_minimum():
    x, y = regression()
    net = made()
    net.fit(x, y, epochs=4, **WHOLE)
    net.freeze("dense_1")
    before = snapshot(net)
    history = net.fit(x, y, epochs=50, **WHOLE)
    after = snapshot(net)
    assert all(after[n] == before[n] for n in ("dense_1.weight", "dense_1.bias"))
    hidden = np.tanh(x @ net.parameters["dense_1.weight"] + net.parameters["dense_1.bias"])
    columns = np.column_stack([hidden, np.ones(len(x))])
    rest = np.linalg.lstsq(columns, y, rcond=None)[1].sum() / y.size
    assert history["loss"][-1] == pytest.approx(rest, rel=1e-8)
    net.unfreeze()
    assert net.fit(x, y, epochs=5, **WHOLE)["loss"][-1] < history["loss"][-1]


def test_everything_frozen_is_at_a_minimum():
    x, y = regression()
    net = made()
    net.freeze()
    before = snapshot(net)
    history = net.fit(x, y, epochs=5, **WHOLE)
    assert len(history) == 1 and history.stopped
    assert snapshot(net) == before | {"passes": b"1"}


def test_an_interruption_in_the_middle_of_an_iteration_leaves_the_one_before(monkeypatch):
    x, y = regression()
    net, left = made(), made()
    left.fit(x, y, epochs=5, **WHOLE)
    evaluate, count = lbfgs.WholeSet._evaluate, left.rule.running[0]

    def interrupted(self, parameters):
        result = evaluate(self, parameters)
        if net.rule.running[0] == count:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(lbfgs.WholeSet, "_evaluate", interrupted)
    history = net.fit(x, y, epochs=50, **WHOLE)
    assert history.interrupted and len(history) == 5
    assert snapshot(net) == snapshot(left)


def test_moving_statistics_move_once_in_an_iteration():
    x, y = regression(n=50)
    layers = [cnet.Dense(5, "tanh"), cnet.BatchNormalization(momentum=0.5), cnet.Dense(2)]
    net = cnet.Sequential(layers, seed=3, dtype="float64").build(4).compile(cnet.LBFGS(), "mse")
    for _ in range(6):
        before = net.buffers["batch_normalization_1.moving_mean"].copy()
        net.fit(x, y, **WHOLE)
        hidden = np.tanh(x @ net.parameters["dense_1.weight"] + net.parameters["dense_1.bias"])
        expected = 0.5 * before + 0.5 * hidden.mean(axis=0)
        found = net.buffers["batch_normalization_1.moving_mean"]
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_callbacks_have_their_say():
    x, y = regression()
    net, seen = made(), []

    class Watch(cnet.callbacks.Callback):
        every = 1

        def on_batch_end(self, run):
            seen.append((run.epoch, run.batch, run.step))

        def on_epoch_end(self, run, figures):
            if run.epoch == 3:
                run.stop("enough")

    history = net.fit(x, y, epochs=9, callbacks=[Watch()], **WHOLE)
    assert history.stopped == "enough" and seen == [(1, 1, 1), (2, 1, 2), (3, 1, 3)]


def test_it_classifies():
    x, labels = classes()
    net = cnet.Sequential([cnet.Dense(8, "tanh"), cnet.Dense(3, "softmax")], seed=1)
    net.compile("lbfgs", "sparse_categorical_crossentropy", ["accuracy"])
    net.fit(x, labels, epochs=60, verbose=0)
    assert net.evaluate(x, labels)["accuracy"] == 1


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learning_rate": cnet.schedules.Step(0.1, 5)}, ["learning_rate must be a number"]),
        ({"decoupled_weight_decay": True}, ["decoupled_weight_decay", "penalty"]),
        ({"clipnorm": 1.0}, ["clipnorm=1.0", "leave it out"]),
        ({"memory": 0}, ["memory", "at least 1", "0"]),
        ({"gradient_tolerance": -1.0}, ["gradient_tolerance", "-1.0"]),
    ],
)
def test_settings_that_mean_nothing(settings, words):
    with refused(ValueError, *words):
        cnet.LBFGS(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 16}, ["batch_size=16 for 40 rows", "batch_size=None"]),
        ({"steps_per_epoch": 3}, ["steps_per_epoch=3", "one iteration"]),
    ],
)
def test_parts_of_the_set(settings, words):
    x, y = regression()
    net = made()
    with Unchanged(net), refused(ValueError, "LBFGS", *words):
        net.fit(x, y, **WHOLE | settings)


def test_random_layers_and_single_steps():
    x, y = regression()
    net = cnet.Sequential([cnet.Dense(5), cnet.Dropout(0.5), cnet.Dense(2)], seed=1).build(4)
    net.compile(cnet.LBFGS(), "mse")
    with Unchanged(net), refused(ValueError, "LBFGS", "random numbers", "Dropout"):
        net.fit(x, y, **WHOLE)
    net = made()
    with Unchanged(net):
        with refused(ValueError, "LBFGS", "a single batch", "batch_size=None"):
            net.train_on_batch(x, y)
        with refused(ValueError, "LBFGS", "a single batch"):
            net.apply_gradients()
        with refused(ValueError, "LBFGS", "find_learning_rate"):
            cnet.find_learning_rate(net, x, y)
        with refused(ValueError, "LBFGS", "a stream of batches"):
            net.fit([(x, y)])
        with refused(ValueError, "learning_rate must be a number"):
            net.learning_rate = cnet.schedules.Step(0.1, 5)


def test_a_loss_that_is_not_finite_where_it_begins():
    x, y = regression()
    net = made()
    net.parameters["dense_2.bias"][:] = 1e200
    with Unchanged(net), pytest.raises(cnet.NonFiniteError):
        net.fit(x, y, **WHOLE)

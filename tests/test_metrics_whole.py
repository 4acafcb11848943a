"""Metrics of a whole epoch: the function on all rows, whatever the batches, orders and weights."""

import copy
import functools
import pickle
import types

import numpy as np
import pytest
from networks import classes, refused, regression, regressor, rows

import cnet
from cnet import metrics, training
from cnet._core.kernels import random_order
from cnet._core.training import Batches

# By name: an object with settings, and (last activation, loss, units) of a network for it.
SOFTMAX = ("softmax", "sparse_categorical_crossentropy", 3)
ONE_HOT = ("softmax", "categorical_crossentropy", 3)
SIGMOID = ("sigmoid", "binary_crossentropy", 1)
LABELS = ("sigmoid", "binary_crossentropy", 3)
LINEAR = ("linear", "mse", 2)
WHOLE = {
    "precision": (metrics.Precision("weighted"), [SOFTMAX, ONE_HOT, SIGMOID, LABELS]),
    "recall": (metrics.Recall("macro"), [SOFTMAX, ONE_HOT, SIGMOID, LABELS]),
    "f1": (metrics.F1("micro"), [SOFTMAX, SIGMOID, LABELS]),
    "roc_auc": (metrics.ROCAUC(), [SOFTMAX, ONE_HOT, SIGMOID, LABELS]),
    "log_loss": (metrics.LogLoss(), [SOFTMAX, ONE_HOT, SIGMOID, LABELS]),
    "top_k_accuracy": (metrics.TopKAccuracy(k=2), [SOFTMAX, ONE_HOT]),
    "mape": (metrics.MeanAbsolutePercentageError(), [LINEAR]),
    "r2": (metrics.R2(), [LINEAR]),
    "explained_variance": (metrics.ExplainedVariance(), [LINEAR]),
    "quantile_coverage": (metrics.QuantileCoverage(), [LINEAR, ("tanh", "quantile", 2)]),
}
CASES = [(name, kind) for name, (_, kinds) in WHOLE.items() for kind in kinds]
each_case = pytest.mark.parametrize(("name", "kind"), CASES)
N = 50


def make(kind, chosen, learning_rate=0.0):
    """Return a compiled network, which stands still unless told otherwise, x and targets."""
    activation, loss, units = kind
    x, labels = classes(N)
    y = {
        SOFTMAX: labels,
        ONE_HOT: np.eye(3)[labels],
        SIGMOID: (labels == 1).astype(float),
        LABELS: (rows(N, 3, seed=8) + np.eye(3)[labels] > 0.5).astype(float),
    }.get(kind)
    y = regression(N)[1] if y is None else y
    layers = [cnet.Dense(6, "tanh"), cnet.Dense(units, activation)]
    net = cnet.Sequential(layers, seed=2, dtype="float64").build(4)
    return net.compile(cnet.SGD(learning_rate=learning_rate), loss, chosen), x, y


def settings_of(metric, kind) -> dict:
    """Return the arguments of the function of a metric's name."""
    names = {"average", "k", "threshold"} & set(metric.fields)
    found = {name: getattr(metric, name) for name in names}
    return found | ({"multilabel": True} if kind == LABELS else {})


def seen(store: list):
    """Return a metric that keeps what it is given."""

    def keep(y_true, y_pred):
        assert not y_true.flags.writeable and not y_pred.flags.writeable
        store.append((y_true.copy(), y_pred.copy()))
        return len(store)

    return keep


def test_every_metric_is_tried():
    counted = {"accuracy", "binary_accuracy", "categorical_accuracy", "sparse_accuracy"}
    assert set(WHOLE) | counted | {"mse", "rmse", "mae"} == set(metrics.names())


# ---- exactness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@each_case
def test_figures_are_the_function_of_all_rows(name, kind, weighted):
    metric = WHOLE[name][0]
    net, x, y = make(kind, [metric])
    w = np.arange(N) % 5 / 2 if weighted else None
    function = getattr(metrics, name)
    expected = function(y, net.predict(x), sample_weight=w, **settings_of(metric, kind))
    assert abs(expected) > 0.05
    assert np.isfinite(expected) and expected != pytest.approx(1, abs=1e-3)
    for batch_size in (7, None):  # the last batch of 7 has one row
        history = net.fit(
            x, y, epochs=2, batch_size=batch_size, sample_weight=w, verbose=0,
            validation_data=(x, y) if w is None else (x, y, w),
        )  # fmt: skip
        np.testing.assert_allclose(history[name], [expected] * 2, rtol=1e-9)
        np.testing.assert_allclose(history[f"val_{name}"], [expected] * 2, rtol=1e-9)
    for figures in (net.evaluate(x, y, w), net.train_on_batch(x, y, w)):
        assert figures[name] == pytest.approx(expected, rel=1e-9)


def test_a_figure_is_no_mean_of_those_of_batches():
    net, x, y = make(SOFTMAX, ["f1"])
    parts = [net.evaluate(x[i : i + 10], y[i : i + 10])["f1"] for i in range(0, N, 10)]
    assert abs(net.evaluate(x, y)["f1"] - np.mean(parts)) > 0.01


@pytest.mark.parametrize("shuffle", [False, True])
def test_outputs_are_those_before_the_step_of_their_batch(shuffle):
    store: list = []
    net, x, y = make(ONE_HOT, [seen(store), "log_loss", "mse"], learning_rate=0.3)
    other = make(ONE_HOT, (), learning_rate=0.3)[0]
    history = net.fit(x, y, epochs=2, batch_size=8, shuffle=shuffle, verbose=0)
    assert not np.array_equal(store[0][1], store[1][1])
    for epoch, (truth, outputs) in enumerate(store):
        order = random_order(net.seed, "order", epoch, N) if shuffle else np.arange(N)
        for at in range(0, N, 8):
            part = order[at : at + 8]
            np.testing.assert_allclose(outputs[part], other.predict(x[part]), rtol=1e-12)
            other.train_on_batch(x[part], y[part])
        assert np.array_equal(truth, y)  # a whole pass lies as it was given
        assert history["loss"][epoch] == pytest.approx(history["log_loss"][epoch], rel=1e-12)
        assert history["mse"][epoch] == pytest.approx(metrics.mse(truth, outputs), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 11])
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_that_is_no_whole_pass(shuffle, steps):
    """20 rows in batches of 6, 6, 6 and 2; epochs end and go on in mid-pass, and span passes."""
    x, y = rows(20, 3), np.arange(20.0)
    store: list = []
    net = cnet.Sequential([cnet.Dense(1, inputs=3)], seed=5, dtype="float64")
    net.compile(cnet.SGD(learning_rate=0), "mse", ["mae", seen(store), "r2"])
    w = np.linspace(0.1, 2, 20)
    settings = {"batch_size": 6, "shuffle": shuffle, "steps_per_epoch": steps, "verbose": 0}
    history = net.fit(x, y, epochs=5, sample_weight=w, **settings)
    every = np.arange(20)
    batches = [
        order[at : at + 6]
        for order in (random_order(5, "order", p, 20) if shuffle else every for p in range(20))
        for at in range(0, 20, 6)
    ]
    for epoch, (truth, outputs) in enumerate(store):
        expected = np.concatenate(batches[epoch * steps : (epoch + 1) * steps])
        done = truth[:, 0].astype(int)
        assert sorted(done) == sorted(expected)
        np.testing.assert_allclose(outputs, net.predict(x)[done], rtol=1e-12)
        figure = metrics.mae(truth, outputs, sample_weight=w[done])
        assert history["mae"][epoch] == pytest.approx(figure, rel=1e-12)
        figure = metrics.r2(truth, outputs, sample_weight=w[done])
        assert history["r2"][epoch] == pytest.approx(figure, rel=1e-12)


def test_a_new_fit_starts_anew_and_batches_may_be_of_any_size():
    net, x, y = make(SOFTMAX, ["f1"], learning_rate=0.1)
    for n in (N, 20, 33):
        before = metrics.f1(y[:n], net.predict(x[:n]))
        assert net.train_on_batch(x[:n], y[:n])["f1"] == pytest.approx(before, rel=1e-12)
        before = metrics.f1(y[:n], net.predict(x[:n]))
        history = net.fit(x[:n], y[:n], batch_size=None, verbose=0)
        assert history["f1"] == [pytest.approx(before, rel=1e-12)]


def test_they_cost_nothing_where_none_is_asked_for_and_change_no_bit():
    bits = set()
    for chosen, kind in ((["accuracy"], Batches), (["accuracy", "f1", "roc_auc"], None)):
        net, x, y = make(SOFTMAX, chosen, learning_rate=0.1)
        data = training.prepare(net, x, y, None)
        work = training.batches(net, data, 8, net.rule)
        assert (type(work) is Batches) == (kind is Batches)
        history = net.fit(x, y, epochs=2, batch_size=8, validation_split=0.2, verbose=0)
        if kind is None:
            with refused(RuntimeError, "need a place for them"):
                work.bind(data.x, data.targets, data.weights)
        bits.add((net.get_weights()[0].tobytes(), *history["val_accuracy"]))
        assert [key for key in history if key in chosen] == chosen
    assert len(bits) == 1


def test_targets_of_all_kinds_of_containers():
    net, x, y = make(SIGMOID, ["f1", "roc_auc"])
    expected = net.evaluate(x, y)
    assert net.evaluate(x.tolist(), y.tolist(), [1] * N) == pytest.approx(expected, rel=1e-12)
    assert net.evaluate(x, y[:, None].astype(bool)) == pytest.approx(expected, rel=1e-12)


def test_a_network_that_has_diverged_has_no_figures():
    net, x, y = make(LINEAR, ["mae", "r2", lambda t, y: 1.0])
    for values in net.parameters.values():
        values[:] = np.inf
    assert all(np.isnan(value) for value in net.evaluate(x, y).values())


# ---- functions of the user's ---------------------------------------------------------------------


def share(y_true, y_pred, sample_weight=None):
    return np.average(y_true == y_pred.argmax(axis=1), weights=sample_weight)


def test_a_function_is_called_once_per_epoch_and_data_set():
    store: list = []
    net, x, y = make(SOFTMAX, [seen(store), share])
    history = net.fit(x, y, epochs=2, validation_data=(x[:9], y[:9]), verbose=0)
    assert history["keep"] == [1, 3] and history["val_keep"] == [2, 4]
    assert [len(truth) for truth, _ in store] == [N, 9, N, 9]
    w = np.arange(N)
    assert net.evaluate(x, y, w)["share"] == share(y, net.predict(x), w) != share(y, net.predict(x))
    assert net.compile("sgd", SOFTMAX[1], share).evaluate(x, y).keys() == {"loss", "share"}


def test_a_function_of_means_and_variances():
    def first(y_true, y_pred):
        return abs(y_true - y_pred[:, :1]).mean()

    x, y = regression(outputs=1)
    net = regressor(loss="gaussian_nll", metrics=[first])
    net.fit(x, y, verbose=0)
    assert net.evaluate(x, y)["first"] == first(y, net.predict(x))
    for name in ("r2", "mape"):
        with refused(ValueError, "no metric", "gaussian_nll"):
            regressor(loss="gaussian_nll", metrics=[name]).build(4)


def test_a_function_that_fails_leaves_the_network_whole():
    def fails(y_true, y_pred):
        raise KeyError("column")

    net, x, y = make(SOFTMAX, [fails], learning_rate=0.1)
    with pytest.raises(KeyError) as caught:
        net.fit(x, y, verbose=0)
    assert "metric 'fails'" in caught.value.__notes__[0]
    assert all(np.isfinite(w).all() for w in net.get_weights()) and len(net.history) == 0
    with refused(TypeError, "metric 'odd' must return a number", "None"):
        odd = metrics.CustomMetric(lambda t, y: None, name="odd")
        net.compile("sgd", SOFTMAX[1], odd).evaluate(x, y)


def test_files_hold_metrics_and_no_functions(tmp_path):
    named = metrics.F1("micro", name="mine", threshold=0.25)
    chosen = ["accuracy", named, metrics.TopKAccuracy(k=2), "roc_auc", share]
    net, x, y = make(SOFTMAX, chosen)
    figures = net.evaluate(x, y)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.compiled.metrics == net.compiled.metrics and twin.evaluate(x, y) == figures
    cnet.save(net, tmp_path / "net.cnet")
    loaded = cnet.load(tmp_path / "net.cnet")
    assert loaded.compiled.metrics == tuple(chosen[:-1])
    del figures["share"]
    assert loaded.evaluate(x, y) == figures


# ---- what is refused -----------------------------------------------------------------------------

LOGITS = cnet.losses.BinaryCrossentropy(from_logits=True)
SPARSE_LOGITS = cnet.losses.SparseCategoricalCrossentropy(from_logits=True)
F1 = metrics.F1
REFUSED = {
    "regression": ((LINEAR, "f1"), ["'f1' needs a classification", "mse", r"F1\(multilabel=F"]),
    "area of numbers": ((LINEAR, "roc_auc"), ["classification loss", "multilabel=True"]),
    "loss of numbers": ((LINEAR, metrics.LogLoss(multilabel=True)), ["probabilities", "'mse'"]),
    "numbers of labels": ((SOFTMAX, "r2"), ["'r2' needs a matrix", "sparse_cat"]),
    "two labels of one": ((SOFTMAX, F1(multilabel=True)), ["one class per row"]),
    "binary of three": ((SOFTMAX, F1("binary")), ["average='binary'", "3 outputs"]),
    "binary of labels": ((LABELS, metrics.Recall("binary")), ["'recall'", "two classes"]),
    "all of three": ((SOFTMAX, "top_k_accuracy"), ["always 1", "5 largest of 3", "smaller k"]),
    "first of one": ((SIGMOID, metrics.TopKAccuracy(k=1)), ["one class of several"]),
    "logits": ((("linear", LOGITS, 1), "precision"), ["from_logits=True", "sigmoid"]),
    "area of logits": ((("linear", SPARSE_LOGITS, 3), "roc_auc"), ["different rows"]),
    "loss of logits": ((("linear", SPARSE_LOGITS, 3), "log_loss"), ["from_logits=True"]),
    "logarithms": ((("log_softmax", SOFTMAX[1], 3), "log_loss"), ["are log_softmax"]),
}


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("why", REFUSED)
def test_metrics_that_do_not_fit(why, built):
    ((activation, loss, units), metric), words = REFUSED[why]
    net = cnet.Sequential([cnet.Dense(units, activation)])
    with refused(ValueError, *words):
        (net.build(4) if built else net).compile("sgd", loss, [metric]).build(4)
    assert net.is_built == built and net.is_compiled != built


@pytest.mark.parametrize("metric", ["roc_auc", metrics.F1(multilabel=False), "top"])
def test_logits_and_numbers_that_have_an_order(metric):
    """A single logit has the order of its probability, and a largest output is one of anything."""
    loss = {"roc_auc": LOGITS, "top": SPARSE_LOGITS}.get(metric, "mse")
    net, x, labels = make(("linear", loss, 1 if metric == "roc_auc" else 3), ())
    metric = metrics.TopKAccuracy(k=2, name="top") if metric == "top" else metric
    y = {"mse": np.eye(3)[labels := classes(N)[1]]}.get(loss, labels)
    if loss is LOGITS:
        y = (labels == 1).astype(float)
    net.compile("sgd", loss, [metric])
    name = getattr(metric, "name", metric)
    function = {"top": functools.partial(metrics.top_k_accuracy, k=2)}.get(
        name, getattr(metrics, name, None)
    )
    assert net.evaluate(x, y)[name] == function(y, net.predict(x)) > 0.1


def test_names_are_given_once():
    with refused(ValueError, "two metrics are called 'f1'", "name="):
        regressor(metrics=["f1", metrics.F1("micro")])
    with refused(ValueError, "two metrics are called 'mae'"):
        regressor(metrics=["mae", "mae"])
    for name in ("loss", "val_f1", "seconds"):
        with refused(ValueError, f"cannot be called '{name}'"):
            metrics.F1(name=name)
    with refused(TypeError, "name must be a string"):
        metrics.R2(name=3)


@pytest.mark.parametrize(
    ("metric", "error", "words"),
    [
        (metrics.F1, TypeError, ["an object such as", "got <class"]),
        (metrics.get("mae", cnet.losses.get("mse"), 2), TypeError, ["must be a name"]),
        (3, TypeError, ["must be a name", "got 3"]),
        (functools.partial(share), TypeError, ["has no name", "CustomMetric"]),
        (types.SimpleNamespace(), TypeError, ["must be a name"]),
        ("roc", ValueError, ["unknown metric 'roc'", "Did you mean 'roc_auc'", "explained_var"]),
    ],
)
def test_what_is_no_metric(metric, error, words):
    with refused(error, *words):
        regressor(metrics=[metric])


def test_settings_that_are_refused():
    with refused(ValueError, "average=None", "cnet.metrics.recall"):
        metrics.Recall(average=None)
    with refused(ValueError, "unknown average 'all'"):
        metrics.Precision("all")
    with refused(TypeError, "k must be an integer"):
        metrics.TopKAccuracy(2.5)
    with refused(TypeError, "multilabel must be"):
        metrics.ROCAUC(multilabel=1)
    with refused(TypeError, "function must be"):
        metrics.CustomMetric(int)

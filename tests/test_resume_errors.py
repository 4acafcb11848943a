"""What is given to a run that goes on must be what the run was given; errors say what is not."""

import numpy as np
import pytest
from networks import Unchanged, classes, refused, snapshot
from runs import Diary

import cnet
from cnet.callbacks import Checkpoint, EarlyStopping, ReduceOnPlateau


def changed(values, index):
    values = values.copy()
    values[index] += 1
    return values


X, Y = classes()
GIVEN = {
    "x": X, "y": Y, "epochs": 3, "batch_size": 8, "shuffle": True, "steps_per_epoch": 4,
    "sample_weight": np.ones(60), "validation_data": (X[:9], Y[:9]), "verbose": 0,
    "callbacks": [EarlyStopping("loss")],
}  # fmt: skip
OTHERS = {
    "batch_size": ({"batch_size": 16}, ["batch_size is 16, it was 8"]),
    "shuffle": ({"shuffle": False}, ["shuffle is False, it was True"]),
    "steps_per_epoch": ({"steps_per_epoch": 5}, ["steps_per_epoch is 5, it was 4"]),
    "epochs": ({"epochs": 1}, ["epochs is 1", "in epoch 2"]),
    "values of x": ({"x": changed(X, (31, 2))}, ["x has other values"]),
    "dtype of x": ({"x": X.astype("float32")}, ["x has dtype 'float32', it had 'float64'"]),
    "labels": ({"y": (Y + 1) % 3}, ["y has other values"]),
    "weights": ({"sample_weight": np.full(60, 2)}, ["sample_weight has dtype"]),
    "no weights": ({"sample_weight": None}, ["sample_weight is missing"]),
    "class weights": ({"class_weight": {0: 2.0}}, ["sample_weight has other values"]),
    "validation": ({"validation_data": (X[1:10], Y[:9])}, ["validation x has other values"]),
    "no validation": ({"validation_data": None}, ["validation x is missing"]),
    "callbacks": ({"callbacks": []}, ["callbacks", "are none, they were EarlyStopping"]),
    "more callbacks": (
        {"callbacks": [ReduceOnPlateau("loss"), EarlyStopping("loss")]},
        ["ReduceOnPlateau, EarlyStopping"],
    ),
    "many": ({"shuffle": False, "batch_size": 4}, ["shuffle", "batch_size"]),
}
NETWORKS = {
    "layer": ({"units": 9}, ["layer 1 is Dense.*units=9.*it was Dense.*units=8"]),
    "more layers": ({"more": [cnet.Dense(3, "softmax")]}, ["layer 3 is new"]),
    "dtype": ({"dtype": "float32"}, ["dtype is 'float32'"]),
    "scale": ({"scale": 0.5}, ["scale is 0.5, it was 1.0"]),
    "optimizer": ({"optimizer": "sgd"}, ["optimizer is SGD.*it was Adam"]),
    "rate": ({"optimizer": cnet.Adam(learning_rate=0.5)}, ["learning_rate=0.5"]),
    "loss": (
        {"loss": cnet.losses.SparseCategoricalCrossentropy(label_smoothing=0.1)},
        ["loss is .*0.1"],
    ),
    "metrics": ({"metrics": ["f1"]}, ["metrics is .*f1"]),
}


def made(units=8, more=(), dtype="float64", optimizer="adam", scale=None, loss=None, metrics=()):
    layers = [cnet.Dense(units, "relu"), cnet.Dense(3, "softmax"), *more]
    net = cnet.Sequential(layers, dtype=dtype, scale=scale)
    return net.compile(optimizer, loss or "sparse_categorical_crossentropy", metrics)


@pytest.fixture(scope="module")
def run_of_six_steps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")

    def stop(run):
        raise KeyboardInterrupt

    callbacks = [*GIVEN["callbacks"], Checkpoint(folder, every=6)]
    callbacks.append(cnet.callbacks.LambdaCallback(on_batch_end=stop, every=7))
    made().fit(**GIVEN | {"callbacks": callbacks})
    return folder


@pytest.mark.parametrize(("settings", "words"), OTHERS.values(), ids=OTHERS)
def test_other_settings_are_refused(settings, words, run_of_six_steps):
    net = made().build(4)
    with Unchanged(net), refused(ValueError, "resume", "not the run of", *words):
        net.fit(resume=run_of_six_steps, **GIVEN | settings)


@pytest.mark.parametrize(("settings", "words"), NETWORKS.values(), ids=NETWORKS)
def test_other_networks_are_refused(settings, words, run_of_six_steps):
    net = made(**settings)
    with refused(ValueError, "resume", *words):
        net.fit(resume=run_of_six_steps, **GIVEN)
    assert not net.is_built


def test_a_network_with_a_layer_less(run_of_six_steps):
    net = cnet.Sequential([cnet.Dense(3, "softmax")], dtype="float64")
    net.compile("adam", "sparse_categorical_crossentropy")
    with refused(ValueError, "layer 1 is", "layer 2 is missing"):
        net.fit(resume=run_of_six_steps, **GIVEN)


def test_what_may_be_different(run_of_six_steps):
    """First values, threads, more epochs, callbacks without a state, a patience."""
    net = cnet.Sequential(
        [cnet.Dense(8, "relu", kernel_initializer=np.ones((4, 8))), cnet.Dense(3, "softmax")],
        seed=99, dtype="float64",
    )  # fmt: skip
    net.compile("adam", "sparse_categorical_crossentropy")
    callbacks = [Diary(), EarlyStopping("loss", patience=99)]
    settings = {"epochs": 7, "threads": 2, "callbacks": callbacks, "x": X.tolist()}
    assert len(net.fit(resume=run_of_six_steps, **GIVEN | settings)) == 7
    loaded = cnet.load(max(run_of_six_steps.iterdir()))
    assert len(loaded.fit(resume=run_of_six_steps, **GIVEN)) == 3


def test_a_large_data_set_is_looked_at_here_and_there(tmp_path):
    x = np.zeros((40_000, 40))  # 12.8 MB
    y = np.zeros((40_000, 1))
    net = cnet.Sequential([cnet.Dense(1)], seed=1).compile("sgd", "mse")
    settings = {"batch_size": None, "verbose": 0, "callbacks": [Checkpoint(tmp_path)]}
    net.fit(x, y, **settings)
    for row in (0, -1):
        with refused(ValueError, "x has other values"):
            net.fit(changed(x, (row, 7)), y, resume=tmp_path, **settings)
    with refused(ValueError, r"x has shape \(39999, 40\), it had \(40000, 40\)"):
        net.fit(x[1:], y[1:], resume=tmp_path, **settings)


def test_a_network_that_was_built_for_a_run_that_is_none(run_of_six_steps, monkeypatch):
    """Its optimizer goes with its memory: what is built next has its own."""

    def fails(net, *_):
        net.rule.states[:] = 1
        raise cnet.FileFormatError("damaged")

    nets = []
    for _ in range(2):
        layers = [cnet.Dense(8, "relu"), cnet.Dense(3, "softmax")]
        net = cnet.Sequential(layers, seed=4, dtype="float64")
        nets.append(net.compile("adam", "sparse_categorical_crossentropy"))
    with monkeypatch.context() as patch:
        patch.setattr("cnet.resuming.fill", fails)
        with refused(cnet.FileFormatError, "damaged"):
            nets[0].fit(resume=run_of_six_steps, **GIVEN)
    for net in nets:
        net.fit(X, Y, verbose=0)
    assert snapshot(nets[0]) == snapshot(nets[1])


def test_the_order_of_groups_says_nothing(tmp_path):
    groups = {"dense_1": {"learning_rate_factor": 0.1}, "dense_2": {"weight_decay": 0.1}}
    settings = {"callbacks": [Checkpoint(tmp_path)], "verbose": 0}
    for epochs, given in ((1, groups), (2, dict(reversed(groups.items())))):
        net = cnet.Sequential([cnet.Dense(8, "relu"), cnet.Dense(3, "softmax")], seed=4)
        net.compile("adam", "sparse_categorical_crossentropy", groups=given)
        assert len(net.fit(X, Y, epochs=epochs, resume=tmp_path, **settings)) == epochs

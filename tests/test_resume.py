"""A run that is cut and continued from a checkpoint ends in the bits of the run that was not."""

import math

import numpy as np
import pytest
from networks import classes, regression, regressor, snapshot
from test_continuation import OPTIMIZERS

import cnet
from cnet import training
from cnet.callbacks import Callback, Checkpoint, CSVLog, EarlyStopping, ReduceOnPlateau

SCHEDULES = {
    "cosine": cnet.schedules.Cosine(0.02, 12),
    "per_epoch": cnet.schedules.Step(0.02, 1, 0.5, per="epoch"),
    "warm_up": cnet.schedules.WarmUp(5, cnet.schedules.Exponential(0.02, 0.9)),
    "function": lambda step: 0.01 / (1 + step),
}


class Killed(Exception):
    """In the place of SIGKILL."""


class Kill(Callback):
    """Ends a run after so many steps, when everybody else has been told of them."""

    keeps_states = True

    def __init__(self, step):
        self.every = step

    def on_batch_end(self, run):
        raise Killed


def network(optimizer="adam", metrics=("accuracy",), seed=None, dtype="float32"):
    """Return a classifier with everything in it that has a state or draws numbers."""
    layers = [
        cnet.Dropout(0.1),
        cnet.Dense(6, "relu", kernel_regularizer="l2"),
        cnet.BatchNormalization(),
        cnet.Dropout(0.25),
        cnet.Dense(3, "softmax"),
    ]
    net = cnet.Sequential(layers, seed=seed, dtype=dtype)
    return net.compile(optimizer, "sparse_categorical_crossentropy", list(metrics))


def figures(history):
    """Return all of a history that does not depend on the clock."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


def cut_and_resumed(tmp_path, make, kills, callbacks=list, **settings):
    """Compare a run with one that is killed after each of `kills` steps and then continued."""
    x, y = classes()
    settings = {"epochs": 3, "batch_size": 8, "verbose": 0, "validation_split": 0.2} | settings
    whole = make(seed=5)
    expected = whole.fit(x, y, callbacks=callbacks(), **settings)
    folder, seed = tmp_path / "run", 5
    for step in kills:
        run = [Checkpoint(folder, every=step), *callbacks(), Kill(step)]
        with pytest.raises(Killed):
            make(seed=seed).fit(x, y, resume=folder, callbacks=run, **settings)
        seed = None  # the file knows it
    net = make(seed=None)
    history = net.fit(
        x, y, resume=folder, callbacks=[Checkpoint(folder, every=50), *callbacks()],
        **settings | {"threads": 2},
    )  # fmt: skip
    assert snapshot(net) == snapshot(whole)
    assert figures(history) == figures(expected)
    assert (history.stopped, history.restored_epoch) == (expected.stopped, expected.restored_epoch)
    assert net.seed == 5 and net.history is history
    return net


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer(optimizer, tmp_path):
    cut_and_resumed(tmp_path, lambda seed: network(optimizer, seed=seed), [2, 9])


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_schedules(schedule, dtype, tmp_path):
    optimizer = cnet.SGD(learning_rate=schedule, momentum=0.9, clipnorm=1.0)
    cut_and_resumed(tmp_path, lambda seed: network(optimizer, seed=seed, dtype=dtype), [4])


@pytest.mark.parametrize("step", range(1, 19))
def test_every_step_of_a_run_with_metrics_of_whole_epochs(step, tmp_path):
    """Six batches are a pass; epochs of four end in its middle and go on over its end."""
    metrics = ("accuracy", "f1", cnet.metrics.TopKAccuracy(2), own_metric)
    cut_and_resumed(
        tmp_path, lambda seed: network(metrics=metrics, seed=seed), [step],
        steps_per_epoch=4 if step < 12 else None,
    )  # fmt: skip


def own_metric(y_true, y_pred):
    return float(y_pred[np.arange(len(y_true)), y_true].mean())


def test_a_run_that_is_killed_again_and_again(tmp_path):
    cut_and_resumed(tmp_path, network_of_seed, [1, 2, 5, 6, 7, 11, 17])


def network_of_seed(seed):
    return network(metrics=("f1",), seed=seed)


@pytest.mark.parametrize("step", [5, 6, 7, 12, 17, 23])
def test_callbacks_go_on_where_they_were(step, tmp_path):
    """Patience is half gone, weights are kept, the rate is reduced: all of it is in the file."""
    net = cut_and_resumed(
        tmp_path, network_of_seed, [step], epochs=6,
        callbacks=lambda: [
            ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=0.2, cooldown=1),
            EarlyStopping("val_loss", patience=3, min_delta=0.05),
        ],
    )  # fmt: skip
    assert net.history.restored_epoch


def test_weights_classes_order_and_batches_above_the_size_of_a_piece(tmp_path):
    x, y = regression(2500)
    settings = {"epochs": 2, "batch_size": 1100, "verbose": 0, "shuffle": False}
    settings["sample_weight"] = np.linspace(0.5, 2.0, len(x))
    whole, cut, net = (regressor("adam", seed=seed) for seed in (3, 3, None))
    whole.fit(x, y, **settings)
    run = Checkpoint(tmp_path, every=1)
    with pytest.raises(Killed):
        cut.fit(x, y, callbacks=[run, Kill(2)], **settings)
    net.fit(x, y, callbacks=[run], resume=tmp_path, **settings)
    assert snapshot(net) == snapshot(whole)


def test_a_run_that_begins_with_a_trained_network(tmp_path):
    """The number of the pass and the optimizer's steps do not begin at 0."""
    x, y = regression()
    nets = [regressor("adam", seed=3) for _ in range(3)]
    for net in nets:
        net.fit(x, y, epochs=2, verbose=0)
    settings = {"epochs": 3, "batch_size": 7, "verbose": 0}
    nets[0].fit(x, y, **settings)
    with pytest.raises(Killed):
        nets[1].fit(x, y, callbacks=[Checkpoint(tmp_path, every=2), Kill(9)], **settings)
    nets[2].fit(x, y, resume=tmp_path, **settings)
    assert snapshot(nets[2]) == snapshot(nets[0])


def test_the_rate_and_the_freezing_that_a_callback_has_set(tmp_path):
    """A number in the place of a schedule; the network that goes on has the schedule again."""

    class Change(Callback):
        def on_epoch_end(self, run, figures):
            if run.epoch == 1:
                run.network.learning_rate = 0.003
                run.network.freeze("dense_1")

    def make(seed):
        return network(cnet.Adam(learning_rate=cnet.schedules.Cosine(0.1, 9)), seed=seed)

    net = cut_and_resumed(tmp_path, make, [9], callbacks=lambda: [Change()])
    assert net.frozen == ("dense_1",) and net.learning_rate == 0.003


def test_a_network_that_was_built_and_trained_otherwise_becomes_that_of_the_run(tmp_path):
    x, y = regression()
    whole, net = regressor("adam", seed=3), regressor("adam", seed=4)
    settings = {"epochs": 2, "verbose": 0, "callbacks": [Checkpoint(tmp_path)]}
    whole.fit(x, y, **settings)
    weight = net.build(4).parameters["dense_1.weight"]
    net.freeze()
    net.train_on_batch(x, y)
    net.forward(x)
    net.fit(x, y, resume=tmp_path, **settings)
    assert snapshot(net) == snapshot(whole) and net.seed == 3 and net.frozen == ()
    assert weight is net.parameters["dense_1.weight"]  # views stay what they are
    for each in (net, whole):
        each.train_on_batch(x, y)
    assert snapshot(net) == snapshot(whole)


# ---- ends ----------------------------------------------------------------------------------------


def test_more_epochs_than_the_run_had(tmp_path):
    x, y = classes()
    settings = {"verbose": 0, "batch_size": 8}
    best = {"callbacks": [EarlyStopping("loss", patience=9)]}
    whole = network_of_seed(5)
    expected = whole.fit(x, y, epochs=5, **settings, **best)
    for epochs in (2, 5):
        net = network_of_seed(5)
        callbacks = [*best["callbacks"], Checkpoint(tmp_path, seconds=1000)]
        history = net.fit(x, y, epochs=epochs, resume=tmp_path, callbacks=callbacks, **settings)
    assert snapshot(net) == snapshot(whole)
    assert figures(history) == figures(expected)


@pytest.mark.parametrize("patience", [1, 9])
def test_a_run_that_has_ended_is_not_trained_again(patience, tmp_path, capsys):
    x, y = regression()
    net, again = (regressor("adam", seed=3) for _ in range(2))

    def settings():
        stop = EarlyStopping("loss", patience=patience, min_delta=0.5)
        return {"epochs": 4, "callbacks": [Checkpoint(tmp_path), stop], "resume": tmp_path}

    history = net.fit(x, y, verbose=0, **settings())
    files = sorted(tmp_path.iterdir())
    same = again.fit(x, y, verbose=2, **settings())
    assert same.rows == history.rows and len(same) == (2 if patience == 1 else 4)
    assert (same.stopped, same.restored_epoch) == (history.stopped, history.restored_epoch)
    assert snapshot(again) == snapshot(net)
    assert sorted(tmp_path.iterdir()) == files  # nothing new to be kept
    assert "resumed" in capsys.readouterr().err


def test_an_epoch_that_a_callback_has_cut_short_is_recorded_once(tmp_path):
    class Stop(Callback):
        every = 7

        def on_batch_end(self, run):
            run.stop("enough")

    cut_and_resumed(tmp_path, network_of_seed, [7], callbacks=lambda: [Stop()])
    x, y = classes()
    folder = tmp_path / "run"
    history = network_of_seed(None).fit(
        x, y, epochs=3, batch_size=8, validation_split=0.2, verbose=0, resume=folder
    )
    assert len(history) == 2 and history.stopped == "enough"


@pytest.mark.parametrize("where", ["slice", "callback", "validation"])
def test_ctrl_c_writes_a_checkpoint(where, tmp_path, monkeypatch):
    """Wherever it comes: before callbacks know of a batch, too."""
    x, y = classes()
    seen = []

    class Count(Callback):
        every = 1

        def on_batch_end(self, run):
            seen.append(run.step)
            if where == "callback" and run.step == 9 and seen.count(9) == 1:
                raise KeyboardInterrupt

    def settings():
        keep = Checkpoint(tmp_path, every=3)
        kept = {"callbacks": [Count(), keep], "validation_split": 0.2, "verbose": 0}
        return kept | {"epochs": 3, "batch_size": 8, "resume": tmp_path}

    run, evaluate, calls = training.Slices.run, training.evaluate_batches, []

    def interrupted_run(self, work, *rest):
        good = run(self, work, *rest)
        calls.append("slice")
        if where == "slice" and calls.count("slice") == 8:
            raise KeyboardInterrupt
        return good

    def interrupted_evaluation(*arguments):
        calls.append("validation")
        if where == "validation" and calls.count("validation") == 2:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    whole = network_of_seed(5)
    expected = whole.fit(x, y, **settings() | {"callbacks": [], "resume": None})
    monkeypatch.setattr(training.Slices, "run", interrupted_run)
    monkeypatch.setattr(training, "evaluate_batches", interrupted_evaluation)
    assert network_of_seed(5).fit(x, y, **settings()).interrupted
    monkeypatch.undo()
    net = network_of_seed(None)
    history = net.fit(x, y, **settings())
    assert not history.interrupted
    assert figures(history) == figures(expected)
    assert snapshot(net) == snapshot(whole)
    # Where a callback was interrupted itself, the last whole moment is that of step 6.
    assert seen == ([*range(1, 10), *range(7, 19)] if where == "callback" else [*range(1, 19)])


def test_ctrl_c_without_a_checkpoint(tmp_path):
    x, y = regression()

    def interrupt(run):
        raise KeyboardInterrupt

    stop = cnet.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    regressor().fit(x, y, callbacks=[Checkpoint(tmp_path, on_interrupt=False), stop], verbose=0)
    assert not list(tmp_path.iterdir())


# ---- what is written besides ---------------------------------------------------------------------


def test_a_csv_file_has_every_epoch_once(tmp_path):
    x, y = regression()
    path, settings = tmp_path / "log.csv", {"batch_size": 8, "verbose": 0}

    def callbacks(*more):
        return [CSVLog(path), Checkpoint(tmp_path / "run", every=8), *more]

    with pytest.raises(Killed):  # in the third epoch; the file is that of step 8, in the second
        regressor(seed=3).fit(x, y, epochs=4, callbacks=callbacks(Kill(13)), **settings)
    assert len(path.read_text().splitlines()) == 3
    path.write_text(path.read_text() + "9,0.1")  # what was going to be a line
    net = regressor()
    history = net.fit(x, y, epochs=4, callbacks=callbacks(), resume=tmp_path / "run", **settings)
    lines = path.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3", "4"]
    assert [float(line.split(",")[1]) for line in lines[1:]] == history["loss"]
    path.unlink()
    regressor().fit(x, y, epochs=4, callbacks=callbacks(), resume=tmp_path / "run", **settings)
    assert path.read_text().splitlines() == lines


def test_a_callback_of_the_users_own(tmp_path):
    """Numbers of all kinds, texts, lists, dicts and arrays come back."""
    kept = {
        "count": np.int64(3), "share": 0.1, "nan": math.nan, "none": None, "text": "ä", "yes": True,
        "list": [1, (2.5, "x")], "dict": {"a/b": {"c": [np.float32(0.1)]}, "array": 1},
        "arrays": [np.arange(3), np.array([[True]]), np.zeros((0, 2), np.float16)],
    }  # fmt: skip
    got = []

    class Own(Callback):
        def state(self):
            return kept

        def restore(self, run, state):
            assert run.resumed.endswith("checkpoint-000002.cnet") and run.epoch == 2
            got.append(state)

    x, y = regression()
    settings = {"callbacks": [Own(), Checkpoint(tmp_path)], "resume": tmp_path, "verbose": 0}
    regressor(seed=3).fit(x, y, epochs=2, **settings)
    assert not got
    regressor().fit(x, y, epochs=3, **settings)
    (state,) = got
    assert list(state) == list(kept) and math.isnan(state.pop("nan"))
    arrays = state.pop("arrays")
    for array, original in zip(arrays, kept["arrays"], strict=True):
        assert array.dtype == original.dtype and np.array_equal(array, original)
        assert array.flags.writeable
    assert state == {
        "count": 3, "share": 0.1, "none": None, "text": "ä", "yes": True,
        "list": [1, [2.5, "x"]], "dict": {"a/b": {"c": [float(np.float32(0.1))]}, "array": 1},
    }  # fmt: skip


def test_the_time_of_an_epoch_counts_on(tmp_path, monkeypatch):
    x, y = regression()
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr("cnet.context.time.perf_counter", lambda: next(clock))
    settings = {"epochs": 2, "batch_size": 8, "verbose": 0}
    with pytest.raises(Killed):
        regressor(seed=3).fit(x, y, callbacks=[Checkpoint(tmp_path, every=1), Kill(4)], **settings)
    history = regressor().fit(x, y, resume=tmp_path, **settings)
    assert len(history) == 2 and history["seconds"][0] > 20

"""Runs on data that comes in parts: cut and continued, to the same bits."""

import itertools

import numpy as np
import pytest
from networks import Unchanged, classes, refused, snapshot
from test_resume import Kill, Killed, figures, network

import cnet
from cnet.callbacks import Checkpoint

X, Y = classes(60)
PARTS = [(X[a:b], Y[a:b]) for a, b in itertools.pairwise((0, 20, 28, 46, 60))]
WEIGHTED = [
    (x, y, np.linspace(0.5, 1.5, len(y))) if number % 2 else (x, y)
    for number, (x, y) in enumerate(PARTS)
]


def generator():
    """Write every batch where the last one was, as many do."""
    place = np.empty((20, 4))
    for x, y in PARTS:
        place[: len(x)] = x
        yield place[: len(x)], y


GIVEN = {
    "shards": (lambda: cnet.Shards(PARTS), {"batch_size": 8}),  # 3, 1, 3, 2 batches
    "shards in order": (lambda: cnet.Shards(WEIGHTED), {"batch_size": 8, "shuffle": False}),
    "shards over the end": (lambda: cnet.Shards(WEIGHTED), {"batch_size": 8, "steps_per_epoch": 7}),
    "list": (lambda: WEIGHTED, {}),
    "function": (lambda: generator, {}),
    "function over the end": (lambda: generator, {"steps_per_epoch": 3, "batch_size": 9}),
}


@pytest.mark.parametrize("step", [1, 3, 4, 7, 8, 9, 12])
@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_a_run_on_a_stream(given, step, tmp_path):
    make, settings = given
    metrics = ("accuracy", "f1", "log_loss")
    optimizer = cnet.Adam(learning_rate=cnet.schedules.Cosine(0.02, 12))
    settings = {"epochs": 4, "validation_data": cnet.Shards(PARTS), "verbose": 0} | settings
    whole = network(optimizer, metrics, seed=5)
    expected = whole.fit(make(), **settings)
    run = [Checkpoint(tmp_path, every=step), Kill(step)]
    with pytest.raises(Killed):
        network(optimizer, metrics, seed=5).fit(make(), callbacks=run, **settings)
    net = network(optimizer, metrics)
    history = net.fit(make(), resume=tmp_path, **settings)
    assert figures(history) == figures(expected)
    assert snapshot(net) == snapshot(whole)
    assert len(history) == 4


def test_ctrl_c_when_the_parts_are_through(tmp_path, monkeypatch):
    """In the validation: the epoch has no batch left, though the stream could begin again."""
    settings = {"epochs": 2, "validation_data": (X, Y), "verbose": 0}
    whole = network(metrics=("f1",), seed=5)
    expected = whole.fit(PARTS, **settings)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cnet.training, "evaluate_batches", interrupted)
    first = network(metrics=("f1",), seed=5)
    assert first.fit(PARTS, callbacks=[Checkpoint(tmp_path)], **settings).interrupted
    monkeypatch.undo()
    net = network(metrics=("f1",))
    assert figures(net.fit(PARTS, resume=tmp_path, **settings)) == figures(expected)
    assert snapshot(net) == snapshot(whole)


def test_parts_that_are_not_what_they_were(tmp_path):
    settings = {"epochs": 2, "verbose": 0}
    with pytest.raises(Killed):
        network(seed=5).fit(PARTS, callbacks=[Checkpoint(tmp_path, every=1), Kill(3)], **settings)
    net = network(seed=5).build(4)
    with Unchanged(net), refused(ValueError, "x has shape"):
        net.fit(PARTS[1:], resume=tmp_path, **settings)
    with Unchanged(net), refused(ValueError, "parts is 2, it was 4"):
        net.fit(PARTS[:2], resume=tmp_path, **settings)
    with refused(ValueError, "gave 3 batches", "less"):
        net.fit(lambda: PARTS[:2], resume=resumable(tmp_path / "function"), **settings)


def resumable(folder):
    """Return the folder of a run on a function, that was killed after three batches."""
    run = [Checkpoint(folder, every=1), Kill(3)]
    with pytest.raises(Killed):
        network(seed=5).fit(lambda: PARTS, callbacks=run, epochs=2, verbose=0)
    return folder


def test_what_comes_only_once(tmp_path):
    """Nobody could give the batches before again; as validation data it is no hindrance."""
    net = network(seed=5).build(4)
    for settings in ({"callbacks": [Checkpoint(tmp_path / "run")]}, {"resume": tmp_path}):
        with Unchanged(net), refused(ValueError, "generator", "once", "Checkpoint and resume"):
            net.fit(generator(), verbose=0, **settings)
    assert not (tmp_path / "run").exists()
    again = {"callbacks": [Checkpoint(tmp_path)], "verbose": 0}
    net.fit(X, Y, validation_data=generator(), **again)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_first_part_of_the_validation_is_scaled_as_the_run_was(tmp_path):
    def make(rows):
        net = cnet.Sequential(
            [cnet.Dense(5, "relu"), cnet.Dense(3, "softmax")], seed=2,
            normalize_inputs="standardize",
        )  # fmt: skip
        net.compile("adam", "sparse_categorical_crossentropy")
        return net.build(4).adapt(rows)

    folder = tmp_path
    settings = {"verbose": 0, "validation_data": PARTS}
    whole = make(X).fit(PARTS, epochs=3, **settings)
    make(X).fit(PARTS, epochs=2, callbacks=[Checkpoint(folder)], **settings)
    found = make(3 * X + 1).fit(
        PARTS, epochs=3, callbacks=[Checkpoint(folder)], resume=folder, **settings
    )
    assert found["val_loss"] == whole["val_loss"]

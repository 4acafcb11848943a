"""Shards: parts of a data set that are loaded one by one; arrays that are mapped, not loaded."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from networks import (
    Unchanged,
    classes,
    classifier,
    losses_of,
    refused,
    regression,
    regressor,
    rows,
    snapshot,
)

import cnet
from cnet import training
from cnet._core.kernels import random_order

QUIET = {"verbose": 0}


def parts(*arrays, size=15):
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


def saved(folder, shards):
    """Return the same shards in every form that they may have."""
    forms = {"arrays": shards, "functions": [lambda s=s: s for s in shards], "npy": [], "npz": []}
    for number, shard in enumerate(shards):
        paths = [folder / f"{number}_{i}.npy" for i in range(len(shard))]
        for path, values in zip(paths, shard, strict=True):
            np.save(path, values)
        forms["npy"].append(tuple(paths))
        file = str(folder / f"{number}.npz")
        np.savez(file, **dict(zip(("x", "y", "sample_weight"), shard, strict=False)))
        forms["npz"].append(file)
    return forms


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_form_of_a_shard(tmp_path, weighted, shuffle):
    x, y = regression(40)
    arrays = (x, y, np.linspace(0.5, 2, 40))[: 3 if weighted else 2]
    results = {}
    for form, shards in saved(tmp_path, parts(*arrays)).items():
        net = regressor("adam", metrics=["r2"])
        settings = {"epochs": 3, "batch_size": 8, "shuffle": shuffle} | QUIET
        history = net.fit(cnet.Shards(shards), validation_data=cnet.Shards(shards), **settings)
        results[form] = (*losses_of(history), *history["val_r2"], *snapshot(net).values())
    assert len(set(results.values())) == 1


def test_without_shuffling_they_are_rows_in_their_order():
    x, y = regression(40)
    one, other = regressor("adam"), regressor("adam")
    one.fit(cnet.Shards(parts(x, y, size=16)), batch_size=8, shuffle=False, epochs=2, **QUIET)
    other.fit(x, y, batch_size=8, shuffle=False, epochs=2, **QUIET)
    assert snapshot(one) | {"passes": b""} == snapshot(other) | {"passes": b""}


class Seen:
    """Shards that remember which rows came in which order, by a target that is the row's number."""

    def __init__(self, shuffle=True, epochs=3, seed=7, **settings):
        self.epochs = []
        x = rows(50, 4)
        shards = cnet.Shards(parts(x, np.arange(50.0), size=20))
        metric = cnet.metrics.CustomMetric(self.note, name="seen")
        self.net = regressor("sgd", outputs=1, metrics=[metric], seed=seed)
        self.net.fit(shards, shuffle=shuffle, epochs=epochs, batch_size=8, **settings | QUIET)

    def note(self, y_true, y_pred):
        self.epochs.append(y_true.ravel().astype(int).tolist())
        return 0.0


def test_every_row_comes_once_per_epoch_in_an_order_that_the_seed_gives():
    seen = Seen(epochs=8).epochs
    assert all(sorted(epoch) == list(range(50)) for epoch in seen)
    assert len({tuple(epoch) for epoch in seen}) == 8
    first = [[row // 20 for row in dict.fromkeys(np.array(e) // 20 * 20)] for e in seen]
    assert len({tuple(order) for order in first}) > 1  # the shards take turns too
    for epoch in seen:  # rows of one shard stay together
        assert np.count_nonzero(np.diff(np.array(epoch) // 20)) == 2
    assert Seen(epochs=8).epochs == seen
    assert Seen(epochs=8, seed=8).epochs != seen


def test_the_order_is_that_of_the_documented_passes():
    """One pass for the order of the shards, one for the rows of each: no number is drawn twice."""
    found = Seen(epochs=1)
    expected = []
    for place, shard in enumerate(random_order(7, "order", 0, 3).tolist()):
        count = min(20, 50 - 20 * shard)
        expected += (20 * shard + random_order(7, "order", 1 + place, count)).tolist()
    # Rows of one shard lie as they were given, whatever the order; that of shards is seen.
    shards = [row // 20 for row in found.epochs[0]]
    assert list(dict.fromkeys(shards)) == list(dict.fromkeys(row // 20 for row in expected))
    assert found.net.passes == 4


def test_two_runs_are_one():
    x, y = regression(40)
    whole, two = regressor("adam"), regressor("adam")
    shards = cnet.Shards(parts(x, y))
    whole.fit(shards, epochs=5, batch_size=8, **QUIET)
    two.fit(shards, epochs=2, batch_size=8, **QUIET)
    two.fit(shards, epochs=3, batch_size=8, **QUIET)
    assert snapshot(whole) == snapshot(two)


def test_at_most_two_are_in_memory_and_only_one_while_it_is_trained_on():
    alive, most, loaded = set(), [], []

    def shard(number):
        def load():
            loaded.append(number)
            x = rows(30, 4, seed=number)
            alive.add(number)
            weakref.finalize(x, alive.discard, number)
            most.append(len(alive))
            return x, np.tanh(x[:, :2])

        return load

    during = cnet.callbacks.LambdaCallback(
        on_batch_end=lambda run: (gc.collect(), most.append(len(alive) + 1)), every=1
    )
    shards = cnet.Shards([shard(n) for n in range(5)])
    regressor(metrics=["r2"]).fit(shards, epochs=2, callbacks=[during], **QUIET)
    assert max(most) == 2
    assert sorted(loaded) == sorted([*range(5)] * 2)


def test_the_number_of_batches():
    x, y = regression(40)
    shards = cnet.Shards(parts(x, y))  # of 15, 15 and 10 rows
    assert (len(shards), shards.batches(8), shards.batches(None)) == (3, 6, 3)
    assert cnet.Shards([lambda: (x, y)]).batches(8) is None
    net = regressor(cnet.SGD(learning_rate=cnet.schedules.Step(0.1, 1, per="epoch")))
    net.fit(shards, epochs=2, batch_size=8, **QUIET)
    assert net.rule.running[0] == 12 and net.learning_rate == pytest.approx(0.01)
    net.fit(shards, batch_size=None, **QUIET)
    assert net.rule.running[0] == 15


def test_split_gives_views():
    x, y = regression(40)
    weight = np.ones(40)
    shards = cnet.Shards.split(x, y, weight, rows=16)
    assert len(shards) == 3
    for given, place in ((x, 0), (y, 1), (weight, 2)):
        found = [shards.load(n)[place] for n in range(3)]
        assert all(np.shares_memory(part, given) for part in found)
        assert np.array_equal(np.concatenate(found), given)
    assert "Shards(3)" in repr(shards)


# ---- what is refused -----------------------------------------------------------------------------

X, Y = np.ones((4, 4)), np.ones((4, 2))
NO_SHARDS = {
    "none": (lambda: cnet.Shards([]), "shards is empty"),
    "number": (lambda: cnet.Shards(3), "must be a sequence"),
    "one alone": (lambda: cnet.Shards([(X, Y), (X,)]), r"shards\[1\] has 1 items"),
    "kind": (lambda: cnet.Shards([X]), r"shards\[0\] is a ndarray"),
    "missing": (lambda: cnet.Shards(["no.npz"]), r"shards\[0\]: there is no file 'no.npz'"),
    "missing pair": (lambda: cnet.Shards([("no.npy", "no.npy")]), "there is no file 'no.npy'"),
    "ending": (lambda: cnet.Shards(["x.csv"]), "expected a file ending in .npz"),
    "pair's ending": (lambda: cnet.Shards([("x.npz", Y)]), "expected a file ending in .npy"),
    "rows": (lambda: cnet.Shards.split(X, Y[:3]), r"y has shape \(3, 2\), but x has 4 rows"),
    "scalar": (lambda: cnet.Shards.split(1.0, Y), r"x has shape \(\)"),
    "size": (lambda: cnet.Shards.split(X, Y, rows=0), "rows must be at least 1"),
}


@pytest.mark.parametrize("name", NO_SHARDS)
def test_what_is_no_shard(name):
    make, words = NO_SHARDS[name]
    with refused((TypeError, ValueError, OSError), words):
        make()


def test_a_shard_that_is_wrong_is_named(tmp_path):
    x, y = regression(40)
    path = tmp_path / "a.npz"
    np.savez(path, x=x, target=y)
    with Unchanged(regressor().build(4)) as net:
        with refused(ValueError, r"shards\[0\]", "has arrays x, target"):
            net.fit(cnet.Shards([path]), **QUIET)
        with refused(cnet.ShapeError, r"shards\[0\]: x has shape"):
            net.fit(cnet.Shards([(x[:, :3], y)]), **QUIET)
        with refused(TypeError, r"shards\[0\] must be", "got ndarray"):
            net.fit(cnet.Shards([lambda: x]), **QUIET)
        shards = cnet.Shards([(x, y)])
        with refused(ValueError, "leave y out"):
            net.fit(shards, y, **QUIET)
        for call in (net.predict, net.forward, lambda s: cnet.find_learning_rate(net, s, y)):
            with refused(TypeError, "Shards are for fit and evaluate", r"shards.load\(0\)"):
                call(shards)


# ---- memory-mapped arrays ------------------------------------------------------------------------


def mapped(folder, values):
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, values)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("layout", [lambda a: a, lambda a: a[::2], lambda a: a[:, ::2]])
def test_mapped_files_of_any_stride(tmp_path, layout):
    x, labels = classes(80, inputs=8)
    given, given_y = layout(mapped(tmp_path, x)), mapped(tmp_path, labels.astype(np.uint8))
    x, n = layout(x), len(layout(x))
    one, other = classifier(), classifier()
    one.fit(x, labels[:n], **QUIET)
    other.fit(given, given_y[:n], **QUIET)
    assert snapshot(one) == snapshot(other)
    assert other.evaluate(given, given_y[:n]) == one.evaluate(x, labels[:n])
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float64, (n, 3))
    assert other.predict(given, out=out) is out
    assert np.array_equal(np.load(tmp_path / "out.npy"), one.predict(x))


def test_checks_take_little_memory_of_their_own():
    """Whatever the size: 24 million bytes of x here, 16 of y; a copy, or a mask, would be seen."""
    n = 1_000_000
    x = np.broadcast_to(np.ones(3), (n, 3))  # float64, for a network of float32
    for activation, loss, y in (
        ("sigmoid", "binary_crossentropy", np.zeros((n, 2))),
        ("softmax", "sparse_categorical_crossentropy", np.zeros(n, np.int64)),
    ):
        net = cnet.Sequential([cnet.Dense(2, activation, inputs=3)], seed=1).compile("sgd", loss)
        training.prepare(net, x[:10], y[:10], None)
        tracemalloc.start()
        data = training.prepare(net, x, y, None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert data.rows == n and peak < 3e6


def test_faults_are_found_wherever_they_are():
    """In pieces, the number of the row must be that of the whole."""
    n = 300_000
    x, y = np.zeros((n, 2)), np.zeros((n, 2))
    net = cnet.Sequential([cnet.Dense(2, "sigmoid", inputs=2)], seed=1)
    net.compile("sgd", "binary_crossentropy")
    x[n - 3, 1] = 1e300
    with refused(cnet.NonFiniteError, "1e[+]300", f"at row {n - 3}, column 1"):
        net.evaluate(x, y)
    x[n - 3, 1], y[n - 2, 0] = 0, 2
    with refused(ValueError, f"y at row {n - 2}, column 0 is 2.0"):
        net.evaluate(x, y)
    wide = np.zeros((40_000, 500), np.float32)
    wide[39_999, 7] = np.nan
    net = cnet.Sequential([cnet.Dense(2, "softmax", inputs=500)], seed=1)
    labels = np.zeros(40_000, int)
    net.compile("sgd", "sparse_categorical_crossentropy")
    with refused(cnet.NonFiniteError, "first at row 39999, column 7"):
        net.evaluate(wide, labels)
    wide[39_999, 7], labels[39_998] = 0, 5
    with refused(ValueError, r"y\[39998\] is class 5", "give it 6 units"):
        net.evaluate(wide, labels)

"""Tables: categories through embeddings, other columns through, and what is refused."""

import copy
import pickle

import numpy as np
import pytest
import reference
from gradcheck import assert_gradient, differences
from networks import Unchanged, drawn, refused, snapshot

import cnet

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def table(n: int = 40, dtype="float64") -> np.ndarray:
    """Return rows of five columns: numbers, categories below 4, numbers, below 6, numbers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 5))
    x[:, 1], x[:, 3] = rng.integers(0, 4, n), rng.integers(0, 6, n)
    return x.astype(dtype)


def columns(**settings) -> cnet.Columns:
    return cnet.Columns({3: cnet.Embedding(6, 2), 1: cnet.Embedding(4, 3)}, **settings)


def words(n: int = 40, count: int = 7, categories: int = 9) -> np.ndarray:
    return np.random.default_rng(1).integers(0, categories, (n, count))


# ---- values ------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("rest", ["keep", "drop"])
@pytest.mark.parametrize("count", [1, 2, 300])
def test_columns_lie_side_by_side_in_the_documented_order(count, rest, dtype):
    net = drawn([columns(rest=rest)], 5, dtype=dtype)
    x = table(count)
    rows = reference.LAYERS["columns"]
    first, second = (net.parameters[f"columns_1.embedding_{c}"] for c in (3, 1))
    assert first.shape == (6, 2) and second.shape == (4, 3)
    expected = [rows(x[:, c:], "", 0.0, t, None) for c, t in ((3, first), (1, second))]
    expected += [x[:, [0, 2, 4]].astype(dtype)] if rest == "keep" else []
    expected = np.concatenate(expected, axis=1)
    assert np.array_equal(net.predict(x), expected)
    assert np.array_equal(net.forward(x, training=True), expected)
    assert net.built.outputs == expected.shape[1]


@each_dtype
@pytest.mark.parametrize("dim", [1, 3, 70])
def test_one_table_for_all_columns(dim, dtype):
    layers = [cnet.Embedding(9, dim), cnet.Flatten()]
    net = drawn([*layers, cnet.Activation("linear")], 7, dtype=dtype)
    x = words()
    values = net.parameters["embedding_1.embeddings"]
    assert np.array_equal(net.predict(x), values[x].reshape(40, -1))
    assert net.layers[0].add_to(net.plan(7), 0, (7,), "again")[1] == (7, dim)


def test_every_type_and_layout_of_indices():
    x = words()
    net = drawn([cnet.Embedding(9, 3)], 7)
    expected = net.predict(x)
    for dtype in ("uint8", "int16", "int64", "uint64", "float16", "float32", "float64"):
        for rows in (x.astype(dtype), np.asfortranarray(x.astype(dtype)), x.astype(dtype)[::1]):
            assert np.array_equal(net.predict(rows), expected)
    assert np.array_equal(net.predict(np.repeat(x, 2, axis=1)[:, ::2]), expected)
    assert np.array_equal(net.predict(x.tolist()), expected)


def test_first_values():
    layers = [cnet.Embedding(50, 40, embeddings_initializer="ones"), cnet.Flatten(), cnet.Dense(1)]
    assert (cnet.Sequential(layers).build(2).parameters["embedding_1.embeddings"] == 1).all()
    net = cnet.Sequential([cnet.Embedding(50, 40)], seed=1).build(2)
    values = net.parameters["embedding_1.embeddings"]
    assert np.abs(values).max() < 0.05 and values.std() == pytest.approx(0.05 / 3**0.5, rel=0.05)


# ---- gradients ---------------------------------------------------------------------------------


CASES = {
    "columns": (lambda: [columns(), cnet.Dense(3, "tanh")], 5, table),
    "columns, the rest dropped": (lambda: [columns(rest="drop"), cnet.Dense(3, "tanh")], 5, table),
    "columns alone": (lambda: [columns()], 5, table),
    "one table": (lambda: [cnet.Embedding(9, 3), cnet.Flatten(), cnet.Dense(2, "silu")], 7, words),
    "normalised": (lambda: [columns(), cnet.LayerNormalization(), cnet.Dense(2)], 5, table),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_by_hand(case):
    layers, inputs, rows = CASES[case]
    net, x = drawn(layers(), inputs), rows(9).astype(np.float64)
    y = net.forward(x)
    c = np.random.default_rng(5).uniform(-1, 2, y.shape)
    net.zero_gradients()
    dx = net.backward(c).copy()
    once = {name: g.copy() for name, g in net.gradients.items()}

    def value() -> float:
        return float(np.sum(c * net.forward(x)))

    for name, parameter in net.parameters.items():
        assert_gradient(once[name], differences(value, parameter), f"{case}, {name}")
    if inputs == 5:
        assert not dx[:, [1, 3]].any()  # categories have no slope
        if "dropped" in case:
            assert not dx.any()
        else:
            for column in (0, 2, 4):
                view = x[:, column]
                assert_gradient(dx[:, column], differences(value, view), f"{case}, dx")
    net.forward(x)
    net.backward(c)
    for name, gradient in net.gradients.items():
        assert np.allclose(gradient, 2 * once[name], rtol=1e-12, atol=1e-15), name


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_a_step(case):
    """What train_on_batch leaves behind, of more rows than pass at once, against its loss."""
    layers, inputs, rows = CASES[case]
    net, x = drawn(layers(), inputs), rows(1500)
    t = np.random.default_rng(6).normal(size=(1500, net.built.outputs))
    w = np.random.default_rng(7).uniform(0.2, 2, 1500)
    net.built.core.gradients[:] = np.nan  # a step starts from nothing
    net.train_on_batch(x, t, w)
    gradients = {name: g.copy() for name, g in net.gradients.items()}
    for name, parameter in net.parameters.items():
        numeric = differences(lambda: net.train_on_batch(x, t, w)["loss"], parameter)
        assert_gradient(gradients[name], numeric, f"{case}, {name}")


def test_rows_of_the_table_that_no_row_names_stay():
    net = drawn([columns(), cnet.Dense(1)], 5, optimizer=cnet.SGD(0.1))
    x = table()
    x[:, 3] = np.where(x[:, 3] == 2, 5, x[:, 3])
    before = net.parameters["columns_1.embedding_3"].copy()
    net.fit(x, x[:, 0], epochs=2, verbose=0)
    changed = (net.parameters["columns_1.embedding_3"] != before).any(axis=1)
    assert changed.tolist() == [True, True, False, True, True, True]


# ---- what is no category -----------------------------------------------------------------------


BAD = {"too large": 6, "negative": -1, "a fraction": 2.5, "huge": 2**40}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_category_is_named_before_anything_changes(bad):
    x = table(100)
    net = drawn([columns(), cnet.Dense(1)], 5, optimizer="adam")
    y = x[:, :1].copy()
    x[70, 3] = BAD[bad]
    remedy = "np.unique" if bad == "a fraction" else "unknown=0"
    words = ("at row 70, column 3", f"is {BAD[bad]:.15g}", "embedding_3", r"0\.\.5", remedy)
    with Unchanged(net):
        for call in (
            lambda: net.predict(x),
            lambda: net.forward(x),
            lambda: net.evaluate(x, y),
            lambda: net.train_on_batch(x, y),
            lambda: net.fit(x, y, verbose=0),
        ):
            with refused(ValueError, "x ", *words):
                call()
        with refused(ValueError, "validation x", *words):
            net.fit(table(9), y[:9], validation_data=(x, y), verbose=0)


def test_what_is_unknown_may_have_a_category_of_its_own():
    layer = cnet.Columns({1: cnet.Embedding(4, 3, unknown=2)})
    net = drawn([layer, cnet.Dense(1)], 5)
    x = table()
    usual = x.copy()
    usual[::3, 1] = 2
    for other in (-1, 4, 1e9, -(2.0**70)):
        x[::3, 1] = other
        assert np.array_equal(net.predict(x), net.predict(usual))
        net.fit(x, x[:, 0], verbose=0)
    for other in (0.5, np.nan, np.inf):
        x[0, 1] = other
        with refused(ValueError, "row 0, column 1", "whole numbers"):
            net.predict(x)


def test_a_core_given_rows_that_nobody_looked_at_reads_no_other_memory():
    """Batches may be bound to arrays that change after they were looked at."""
    net = drawn([columns(), cnet.Dense(1)], 5, dtype="float32", optimizer="adam")
    x, y = table(64), np.zeros(64)
    data = cnet.training.prepare(net, x, y, None)
    work = cnet.training.batches(net, data, 16, net.rule)
    x[:, 1], x[:, 3] = np.nan, 1e30
    work.begin()
    assert work.run(4) and np.isfinite(net.parameters["columns_1.embedding_1"]).all()


def test_scale_would_make_other_categories():
    net = drawn([columns(), cnet.Dense(1)], 5)
    net.scale = 0.5
    for call in (net.predict, net.forward, lambda x: net.train_on_batch(x, x[:, 0])):
        with refused(ValueError, "scale=0.5", "leave scale out"):
            call(table())


def test_settings():
    for wrong, error, word in (
        (lambda: cnet.Embedding(0, 4), ValueError, "categories"),
        (lambda: cnet.Embedding(4, 2.0), TypeError, "dim"),
        (lambda: cnet.Embedding(4, 2, unknown=4), ValueError, r"0\.\.3"),
        (lambda: cnet.Embedding(4, 2, embeddings_initializer="no"), ValueError, "initializer"),
        (lambda: cnet.Columns({}), ValueError, "empty"),
        (lambda: cnet.Columns({0: 3}), TypeError, "cnet.Embedding"),
        (lambda: cnet.Columns({-1: cnet.Embedding(2, 2)}), ValueError, "column"),
        (lambda: cnet.Columns({"a": cnet.Embedding(2, 2)}), TypeError, "column"),
        (lambda: columns(rest="passthrough"), ValueError, "Known: drop, keep"),
        (lambda: cnet.Columns(dict.fromkeys((0, 1), cnet.Embedding(2, 2))), ValueError, "twice"),
        (
            lambda: cnet.Columns({c: cnet.Embedding(2, 2, name="a") for c in (0, 1)}),
            ValueError, "same name",
        ),
        (lambda: cnet.Sequential([columns()]).build(3), cnet.ShapeError, "column 3"),
        (lambda: cnet.Sequential([columns()]).build((5, 5)), cnet.ShapeError, "Flatten"),
        (
            lambda: cnet.Sequential([cnet.Dense(5), columns()]).build(5),
            cnet.ShapeError, "must come first",
        ),
        (
            lambda: cnet.Sequential([cnet.Embedding(2**24 + 1, 1)]).build(1),
            ValueError, "float64",
        ),
    ):  # fmt: skip
        with refused(error, word):
            wrong()


# ---- with everything else ----------------------------------------------------------------------


def rich(**settings) -> cnet.Sequential:
    """Return a compiled network of tables, not built yet."""
    layers = [
        cnet.Columns(
            {
                1: cnet.Embedding(4, 3, name="day", embeddings_regularizer="l2"),
                3: cnet.Embedding(6, 2, unknown=0, embeddings_initializer="normal"),
            }
        ),
        cnet.Dropout(0.1),
        cnet.Dense(8, "relu"),
        cnet.Dense(1),
    ]
    sides = {"normalize_inputs": "standardize", "normalize_targets": "robust"}
    return cnet.Sequential(layers, seed=5, **sides, **settings).compile("adam", "mse", ["mae"])


def far(n: int = 200):
    """Return rows and targets in units of all kinds."""
    x = table(n)
    x[:, 4] = 1.7e9 + 3600 * x[:, 4]
    return x, 100 * np.sin(x[:, 1]) + 7 * x[:, 0] + 1e4


@each_dtype
def test_normalised_columns_leave_categories_alone(dtype):
    x, y = far()
    net = rich(dtype=dtype)
    history = net.fit(x, y, epochs=3, verbose=0)
    assert history["loss"][-1] < history["loss"][0]
    shift, factor = net.input_scaling.shift, net.input_scaling.factor
    assert shift[[1, 3]].tolist() == [0, 0] and factor[[1, 3]].tolist() == [1, 1]
    others = [0, 2, 4]
    assert np.allclose(shift[others], x[:, others].mean(0), rtol=1e-12)


@each_dtype
def test_threads_and_pieces_change_no_bit(dtype):
    x, y = far(3000)
    nets = [rich(dtype=dtype) for _ in range(2)]
    for net, threads in zip(nets, (1, 3), strict=True):
        net.fit(x, y, epochs=1, batch_size=2000, threads=threads, verbose=0)
    assert snapshot(nets[0]) == snapshot(nets[1])
    assert np.array_equal(nets[0].predict(x), nets[1].predict(x, threads=3))


def test_files_and_copies_go_on_to_the_same_bits(tmp_path):
    x, y = far()
    net = rich()
    net.fit(x, y, epochs=2, verbose=0)
    net.freeze("columns_1")
    cnet.save(net, tmp_path / "net")
    others = [cnet.load(tmp_path / "net"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    before = net.parameters["columns_1.day"].copy()
    net.fit(x, y, verbose=0)
    assert np.array_equal(net.parameters["columns_1.day"], before)
    for other in others:
        other.fit(x, y, verbose=0)
        assert snapshot(other) == snapshot(net)
        assert [c for c, _ in other.layers[0].embeddings] == [1, 3]


def test_penalties_count_the_tables():
    net = drawn([cnet.Embedding(9, 3, embeddings_regularizer=cnet.regularizers.L2(0.5))], 7)
    x = words()
    values = net.parameters["embedding_1.embeddings"]
    loss = net.evaluate(x, net.predict(x))["loss"]
    assert loss == pytest.approx(0.5 * np.sum(values**2), rel=1e-12)


def test_within_branches():
    """Numbers go one way, categories another, and both are joined."""
    layers = [
        cnet.Parallel([[columns(rest="drop")], [cnet.Dense(4, "tanh")], columns()], merge="concat"),
        cnet.Dense(2),
    ]
    net, x = drawn(layers, 5), table(9)
    y = net.forward(x)
    c = np.random.default_rng(5).uniform(-1, 2, y.shape)
    net.zero_gradients()
    dx = net.backward(c).copy()

    def value() -> float:
        return float(np.sum(c * net.forward(x)))

    for name, parameter in net.parameters.items():
        assert_gradient(net.gradients[name], differences(value, parameter), name)
    for column in (0, 2, 4):
        assert_gradient(dx[:, column], differences(value, x[:, column]), "dx")
    assert net.predict(x).tobytes() == y.tobytes()


def test_summary(capsys):
    rich().build(5).summary()
    lines = capsys.readouterr().out.splitlines()
    line = next(line for line in lines if line.startswith("columns_1"))
    assert line.split() == ["columns_1", "(Columns)", "8", "24", "96", "B"]

"""Normalisation kept with the network: what is found in rows, when, and what is refused."""

import warnings

import numpy as np
import pytest
from networks import Unchanged, refused, snapshot
from normalized import formula, pair, units

import cnet

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
KINDS = {"standardize": cnet.Standardize, "minmax": cnet.MinMax, "robust": cnet.Robust}
each_kind = pytest.mark.parametrize("kind", KINDS)


def table(n: int = 300, seed: int = 0) -> np.ndarray:
    """Return columns of very different sizes."""
    return np.random.default_rng(seed).normal(size=(n, 5)) * [1, 1e-6, 1e4, 30, 1] + [
        0,
        1,
        -3,
        5,
        9,
    ]


def glass(kind, dtype="float64", inputs: int = 5, **settings) -> cnet.Sequential:
    """Return a network that shows its inputs as they are gathered."""
    layers = [cnet.Activation("linear")]
    net = cnet.Sequential(layers, dtype=dtype, normalize_inputs=kind, **settings)
    return net.build(inputs)


# ---- what is found -----------------------------------------------------------------------------


@each_kind
@each_dtype
def test_formulas(kind, dtype):
    x = table()
    found = glass(kind, dtype).adapt(x).predict(x)
    assert found.dtype == dtype
    # A deviation of 1e-6 beside a mean of 1: so much of its digits the formula itself has lost.
    assert np.abs(found - formula(kind, x)).max() < 1e-9 + 8 * np.finfo(dtype).eps


def test_settings_of_minmax():
    x = table()
    found = glass(cnet.MinMax(-1, 3)).adapt(x).predict(x)
    assert np.allclose(found, 4 * formula("minmax", x) - 1, rtol=0, atol=1e-9)
    with refused(ValueError, "high", "above 2"):
        cnet.MinMax(2, 2)
    with refused(TypeError, "low"):
        cnet.MinMax(low="0")


@each_kind
def test_blocks_of_rows_make_no_difference(kind, monkeypatch):
    x = table(1001)
    whole = KINDS[kind]().fit(x)
    for rows in (1, 7, 400):
        monkeypatch.setattr(cnet.normalizers, "BLOCK", rows * 5)
        monkeypatch.setattr(cnet.normalizers, "COLUMNS_BLOCK", 2 * len(x))
        parts = KINDS[kind]().fit(x)
        assert np.allclose(parts.shift, whole.shift, rtol=1e-13, atol=0)
        assert np.allclose(parts.factor, whole.factor, rtol=1e-12, atol=0)


@each_kind
@each_dtype
def test_a_huge_offset_costs_nothing(kind, dtype):
    """Seconds since 1970, which float32 has in steps of 128, as if they had begun at noon."""
    near = np.random.default_rng(1).integers(0, 7200, (500, 3)).astype(np.float64)
    far = near + 1_700_000_000
    for rows in (far, far.astype(np.int64)):
        net = glass(kind, dtype, 3).adapt(rows)
        expected = glass(kind, dtype, 3).adapt(near).predict(near)
        assert np.abs(net.predict(rows) - expected).max() < 1e-9 + 2 * np.finfo(dtype).eps
        assert net.predict(rows).std() > 0.1


@each_kind
def test_columns_that_do_not_vary_are_only_shifted(kind):
    x = np.column_stack([np.full(50, 0.1), np.full(50, 1e300), np.zeros(50), np.arange(50.0)])
    x[::2, 0] = 0.1 + 1e-17 + 2**-56  # rounding errors are no variation
    net = glass(kind, inputs=4).adapt(x)
    assert net.input_scaling.factor[:3].tolist() == [1, 1, 1]
    assert np.abs(net.predict(x)[:, :3]).max() < 1e-15
    assert net.predict(x)[:, 3].std() > 0.1
    assert net.predict(x[:1] + np.array([[2, 0, 3, 0]]))[0, 2] == 3


@each_kind
def test_one_row(kind):
    net = glass(kind, inputs=2).adapt([[3.0, 4.0]])
    assert net.predict([[3.0, 5.0]]).tolist() == [[0, 1]]


@pytest.mark.parametrize("given", ["float16", "float32", "uint8", "int64", "bool"])
@each_kind
def test_every_type_and_layout_is_found_alike(kind, given, tmp_path):
    x = np.random.default_rng(3).integers(0, 2 if given == "bool" else 100, (90, 4)).astype(given)
    plain = glass(kind, inputs=4).adapt(x.astype(np.float64))
    np.save(tmp_path / "x.npy", x)
    for rows in (
        x,
        np.asfortranarray(x),
        np.repeat(x, 2, axis=1)[:, ::2],
        x[::-1].copy()[::-1],
        np.load(tmp_path / "x.npy", mmap_mode="r"),
    ):
        net = glass(kind, inputs=4).adapt(rows)
        assert net.input_scaling.shift.tolist() == plain.input_scaling.shift.tolist()
        assert net.input_scaling.factor.tolist() == plain.input_scaling.factor.tolist()
        assert np.array_equal(net.predict(rows), plain.predict(x))


def test_images():
    x = np.random.default_rng(4).integers(0, 256, (30, 3, 4)).astype(np.uint8)
    layers = [cnet.Flatten(), cnet.Activation("linear")]
    net = cnet.Sequential(layers, dtype="float64", normalize_inputs="standardize").build((3, 4))
    flat = x.reshape(30, 12).astype(float)
    assert np.allclose(net.adapt(x).predict(x), formula("standardize", flat), atol=1e-13)


def test_more_columns_than_a_chunk():
    x = np.random.default_rng(5).normal(3, 2, (40, 150)).astype(np.float32)
    net = glass("standardize", "float32", 150).adapt(x)
    expected = formula("standardize", x.astype(float))
    for rows in (x, np.repeat(x, 2, axis=1)[:, ::2]):
        assert np.abs(net.predict(rows) - expected).max() < 1e-6


# ---- when it is found --------------------------------------------------------------------------


def test_the_first_fit_looks_at_the_training_rows_alone_and_no_later_one():
    x, y = units()
    net = pair()
    net.fit(x, y, validation_split=0.5, epochs=1, verbose=0)
    assert np.allclose(net.input_scaling.shift, x[:30].mean(0), rtol=1e-14)
    assert np.allclose(net.target_scaling.factor, 1 / y[:30].std(0), rtol=1e-13)
    before = net.input_scaling, net.target_scaling
    net.fit(x, y, epochs=1, verbose=0)
    net.train_on_batch(x, y)
    assert (net.input_scaling, net.target_scaling) == before
    weights = snapshot(net)
    net.adapt(x, y)
    assert np.allclose(net.input_scaling.shift, x.mean(0), rtol=1e-14)
    assert snapshot(net) == weights


def test_nothing_works_before():
    x, y = units()
    net = pair().build(4)
    with Unchanged(net):
        for call in (
            lambda: net.predict(x),
            lambda: net.predict_classes(x),
            lambda: net.evaluate(x, y),
            lambda: net.forward(x),
            lambda: net.train_on_batch(x, y),
        ):
            with refused(cnet.NotBuiltError, "no rows yet", r"net.adapt\(x, y\)"):
                call()
    assert net.input_scaling is net.target_scaling is None
    assert np.isfinite(net.adapt(x, y).predict(x)).all()


def test_what_is_refused_leaves_the_network_as_it_was():
    x, y = units()
    bad = x.copy()
    bad[3, 2] = np.nan
    for net in (pair(), pair().build(4)):
        for rows, targets, error in (
            (bad, y, cnet.NonFiniteError),
            (x, y[:, :1], cnet.ShapeError),
            (x[:, :2], y, cnet.ShapeError),
            (x, np.where(y > 0, y, np.inf), cnet.NonFiniteError),
        ):
            built = net.is_built
            if rows.shape[1] != 4 and not built:
                continue
            for call in (net.adapt, lambda x, y, net=net: net.fit(x, y, verbose=0)):
                with pytest.raises(error):
                    call(rows, targets)
                assert net.is_built == built and net.input_scaling is None
        # The validation rows are looked at after the training rows.
        with refused(cnet.NonFiniteError, "validation x"):
            net.fit(x, y, validation_data=(bad, y), verbose=0)
        assert net.input_scaling is None
        with pytest.raises(TypeError, match="y is None"):
            net.adapt(x)
    with refused(ValueError, "normalises nothing"):
        cnet.Sequential([cnet.Dense(1)]).adapt(x)
    with refused(cnet.NotBuiltError, "compile"):
        cnet.Sequential([cnet.Dense(1)], normalize_targets="robust").adapt(x, y)
    with refused(cnet.ShapeError, "no rows"):
        pair().build(4).adapt(x[:0], y[:0])


def test_settings_that_do_not_go_together():
    with refused(ValueError, "unknown normaliser 'standardise'", "Did you mean 'standardize'"):
        cnet.Sequential([cnet.Dense(1)], normalize_inputs="standardise")
    with refused(TypeError, "normalize_targets", "Standardize"):
        cnet.Sequential([cnet.Dense(1)], normalize_targets=cnet.Standardize)
    with refused(ValueError, "scale=0.5", "leave scale out"):
        cnet.Sequential([cnet.Dense(1)], scale=0.5, normalize_inputs="minmax")
    for loss in ("sparse_categorical_crossentropy", "binary_crossentropy", "poisson", "hinge"):
        net = cnet.Sequential([cnet.Dense(2, "sigmoid")], normalize_targets="minmax")
        with refused(ValueError, loss, "normalize_targets"):
            net.compile("adam", loss)
    for metric in ("binary_accuracy", "categorical_accuracy"):
        with refused(ValueError, metric, "normalised"):
            pair(metrics=[metric])
    net = pair()
    net.adapt(*units())
    before = net.compiled
    with refused(ValueError, "2 columns", "gaussian_nll", "takes 1"):
        net.compile("sgd", "gaussian_nll")
    assert net.compiled is before


def test_a_number_out_of_all_proportion_is_named():
    x, y = units()
    x[:, 1] = 1 + 1e-9 * np.arange(60)
    net = pair(dtype="float32").adapt(x, y)
    x[7, 1] = 1e35
    for call in (net.train_on_batch, net.evaluate, lambda x, y: net.fit(x, y, verbose=0)):
        with refused(cnet.NonFiniteError, r"1e\+35 at row 7, column 1", "float32", "normalised"):
            call(x, y)
    big = x.copy()
    big[:, 1] = np.where(np.arange(60) % 2, 1e100, 2e100)  # too large for float32 as it is
    assert np.isfinite(pair(dtype="float32").adapt(big, y).predict(big)).all()
    with refused(cnet.NonFiniteError, "column 1 of x", "Standardize"):
        big[:, 1] *= 1e100
        pair().adapt(big, y)


# ---- data that comes in parts ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["standardize", "minmax"])
def test_parts_are_looked_at_one_by_one(kind):
    x, y = units(200)
    sides = {"normalize_inputs": kind, "normalize_targets": kind}
    whole = pair(**sides).adapt(x, y)
    shards = cnet.Shards.split(x, y, rows=64)
    batches = [(x[i : i + 30], y[i : i + 30]) for i in range(0, 200, 30)]
    for given in (shards, batches, lambda: iter(batches), iter(batches)):
        net = pair(**sides).adapt(given)
        for side in ("input_scaling", "target_scaling"):
            found, expected = getattr(net, side), getattr(whole, side)
            assert np.allclose(found.shift, expected.shift, rtol=1e-12, atol=1e-12)
            assert np.allclose(found.factor, expected.factor, rtol=1e-12, atol=0)
    net.fit(shards, epochs=2, verbose=0)
    assert np.isfinite(net.predict(x)).all()


def test_parts_that_cannot_be_looked_at():
    x, y = units(200)
    shards = cnet.Shards.split(x, y, rows=64)
    net = pair()
    with refused(cnet.NotBuiltError, "net.adapt"):
        net.fit(shards, verbose=0)
    assert not net.is_built and net.input_scaling is None
    with refused(ValueError, "Robust needs all rows at once", "Standardize"):
        pair(normalize_inputs="robust").adapt(shards)
    x[150, 2] = np.nan
    with refused(cnet.NonFiniteError, r"shards\[2\]: x", "column 2"):
        net.adapt(shards)
    assert not net.is_built and net.input_scaling is None


def test_scalings_broadcast_nothing():
    scaling = cnet.Standardize().fit(np.arange(12.0).reshape(4, 3))
    for values in (np.ones((5, 1)), np.ones((5, 2)), 1.0):
        for function in (scaling.transform, scaling.inverse_transform):
            with pytest.raises(cnet.ShapeError, match=r"values has shape .*expected \(\.\.\., 3\)"):
                function(values)
    assert scaling.transform(np.ones((2, 5, 3))).shape == (2, 5, 3)
    single = cnet.Standardize().fit(np.arange(4.0).reshape(4, 1))
    assert single.transform(np.ones(5)).shape == (5,)
    with pytest.raises(cnet.ShapeError, match="values has shape"):
        single.transform(np.ones((5, 2)))


def test_extremes_that_reach_too_far_are_refused_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(cnet.NonFiniteError, match="column 0 of x reaches too far for MinMax"):
            cnet.MinMax().fit(np.array([[1.7e308], [-1.7e308]]))

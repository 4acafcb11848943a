"""Statistics of batch normalisation that are taken anew, after weights were averaged or set."""

import threading

import numpy as np
import pytest

import cnet
from cnet._core.kernels import random_order


def data(rows=100):
    rng = np.random.default_rng(3)
    return rng.standard_normal((rows, 5)) * 2 + 1, rng.standard_normal((rows, 2))


def network(*between, dtype="float64", **settings):
    layers = [
        cnet.BatchNormalization(name="first"), cnet.Dense(6, "tanh", name="dense"), *between,
        cnet.BatchNormalization(0.3, epsilon=1e-3, name="second"), cnet.Dense(2),
    ]  # fmt: skip
    net = cnet.Sequential(layers, seed=4, dtype=dtype)
    return net.build(5).compile(cnet.Adam(0.02), "mse", **settings)


def expected(net, x, batch_size, weights):
    """PyTorch's update_bn in NumPy: the mean over the batches, variances divided by B - 1."""
    found = []
    for first in range(0, len(x), batch_size):
        part = x[first : first + batch_size].astype(np.float64)
        mean, variance = part.mean(0), part.var(0)
        hidden = (part - mean) / np.sqrt(variance + 1e-5)
        hidden = hidden * weights["first.gamma"] + weights["first.beta"]
        hidden = np.tanh(hidden @ weights["dense.weight"] + weights["dense.bias"])
        unbiased = [values.var(0, ddof=1) for values in (part, hidden)]
        found.append([mean, unbiased[0], hidden.mean(0), unbiased[1]])
    names = ["first.moving_mean", "first.moving_variance", "second.moving_mean"]
    names.append("second.moving_variance")
    columns = zip(*found, strict=True)
    return {name: np.mean(values, axis=0) for name, values in zip(names, columns, strict=True)}


def check(net, reference, **tolerance):
    assert set(net.buffers) == set(reference)
    for name, values in net.buffers.items():
        np.testing.assert_allclose(values, reference[name], err_msg=name, **tolerance)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("batch_size", [32, 25, 100, 1000])
def test_they_are_the_mean_over_the_batches(dtype, rtol, batch_size):
    x, y = data()
    net = network(dtype=dtype)
    net.fit(x, y, epochs=2, verbose=0)
    weights, order = dict(net.parameters), random_order(4, "order", net.passes, len(x))
    assert net.refresh_statistics(x, batch_size=batch_size, shuffle=False) is net
    check(net, expected(net, x, batch_size, weights), rtol=rtol, atol=rtol)
    net.refresh_statistics(x, batch_size=batch_size)
    check(net, expected(net, x[order], batch_size, weights), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("averaging", [cnet.SWA(1), cnet.EMA(0.9)])
def test_they_are_those_of_averaged_weights(averaging):
    x, y = data()
    net = network(averaging=averaging)
    net.fit(x, y, epochs=4, verbose=0)
    trained = {name: values.copy() for name, values in net.parameters.items()}
    assert not np.array_equal(net.averages["dense.weight"], trained["dense.weight"])
    before = net.evaluate(x, y)["loss"]
    net.refresh_statistics(x, shuffle=False)
    check(net, expected(net, x, 32, net.averages), rtol=1e-10, atol=1e-12)
    assert net.evaluate(x, y)["loss"] != before
    for name, values in net.parameters.items():
        assert np.array_equal(values, trained[name])


def test_predictions_are_then_those_of_the_whole_set_as_one_batch():
    x, _ = data()
    net = cnet.Sequential([cnet.BatchNormalization(epsilon=1e-12)], seed=1, dtype="float64")
    net.build(5).refresh_statistics(x, batch_size=100)
    np.testing.assert_allclose(net.predict(x).mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(net.predict(x).var(0, ddof=1), 1, rtol=1e-9)


def test_nothing_else_changes():
    """Training goes on to the same bits but for the moving statistics."""
    x, y = data()
    nets = [network(cnet.Dropout(0.2)) for _ in range(2)]
    for net in nets:
        net.fit(x, y, epochs=2, verbose=0)
    outputs = nets[0].forward(x)
    nets[0].refresh_statistics(x)
    assert nets[0].built.core.tape_rows == len(outputs)  # backward may still come
    for net in nets:
        net.fit(x, y, epochs=2, verbose=0)
    for name, values in nets[0].parameters.items():
        assert values.tobytes() == nets[1].parameters[name].tobytes()


def test_threads_and_repetition_change_no_bit():
    x, y = data(3000)
    net, found = network(cnet.Dropout(0.2)), set()
    net.fit(x, y, verbose=0)
    for threads in (1, 2, 4, 1):
        net.refresh_statistics(x, batch_size=500, threads=threads)
        found.add(b"".join(values.tobytes() for values in net.buffers.values()))
    assert len(found) == 1


def test_scale_and_normalised_columns_are_taken_into_account():
    x, _ = data()
    plain = cnet.Sequential([cnet.BatchNormalization()], dtype="float64").build(5)
    scaled = cnet.Sequential([cnet.BatchNormalization()], dtype="float64", scale=0.5).build(5)
    plain.refresh_statistics(x * 0.5, shuffle=False)
    scaled.refresh_statistics(x, shuffle=False)
    check(scaled, plain.buffers, rtol=1e-14)
    net = cnet.Sequential(
        [cnet.BatchNormalization(), cnet.Dense(2)], dtype="float64", normalize_inputs="standardize"
    ).compile("sgd", "mse")
    with pytest.raises(cnet.NotBuiltError):
        net.build(5).refresh_statistics(x)
    net.adapt(x).refresh_statistics(x, batch_size=100)
    np.testing.assert_allclose(net.buffers["batch_normalization_1.moving_mean"], 0, atol=1e-12)


def test_inside_of_blocks():
    block = cnet.Residual([cnet.BatchNormalization(), cnet.Dense(5)])
    x, _ = data()
    net = cnet.Sequential([block], seed=1, dtype="float64").build(5)
    net.refresh_statistics(x, batch_size=100)
    (mean, variance) = net.buffers.values()
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(variance, x.var(0, ddof=1), rtol=1e-12)


def test_they_are_saved(tmp_path):
    x, y = data()
    net = network(averaging=cnet.SWA(0))
    net.fit(x, y, epochs=2, verbose=0)
    net.refresh_statistics(x)
    cnet.save(net, tmp_path / "net")
    assert np.array_equal(cnet.load(tmp_path / "net").predict(x), net.predict(x))


def test_what_does_not_go():
    x, _ = data()
    with pytest.raises(cnet.NotBuiltError):
        cnet.Sequential([cnet.BatchNormalization()]).refresh_statistics(x)
    with pytest.raises(ValueError, match=r"no cnet\.BatchNormalization"):
        cnet.Sequential([cnet.LayerNormalization()]).build(5).refresh_statistics(x)
    net = network()
    before = {name: values.copy() for name, values in net.buffers.items()}
    bad = x.copy()
    bad[7, 2] = np.nan
    huge = np.full_like(x, 1e300)
    huge[0] = -1e300
    for error, match, rows, settings in (
        (cnet.NonFiniteError, "row 7, column 2", bad, {}),
        (cnet.NonFiniteError, "stay as they were", huge, {}),
        (cnet.ShapeError, "shape", x[:, :3], {}),
        (cnet.ShapeError, "no rows", x[:0], {}),
        (cnet.ShapeError, "one row does not have", x[:1], {}),
        (cnet.ShapeError, "leaves one of 100 rows", x, {"batch_size": 11}),
        (ValueError, "batch_size", x, {"batch_size": 0}),
        (TypeError, "shuffle", x, {"shuffle": 1}),
    ):
        with pytest.raises(error, match=match):
            net.refresh_statistics(rows, **settings)
    for name, values in net.buffers.items():
        assert np.array_equal(values, before[name])


def test_not_while_the_network_is_trained():
    x, y = data()
    net, found = network(), []

    class Try(cnet.callbacks.Callback):
        def on_epoch_end(self, run, figures):
            thread = threading.Thread(target=self.call)
            thread.start()
            thread.join()

        def call(self):
            try:
                net.refresh_statistics(x)
            except RuntimeError as error:
                found.append(str(error))

    net.fit(x, y, verbose=0, callbacks=[Try()])
    assert len(found) == 1 and "trained already" in found[0]

"""Steps of the gradients of several batches: against a large batch, and against a loop by hand."""

import numpy as np
import pytest

import cnet


def data(rows=100, columns=5):
    rng = np.random.default_rng(7)
    return rng.standard_normal((rows, columns)), rng.standard_normal((rows, 2))


def network(*between, loss="mse", optimizer=None, dtype="float64", metrics=()):
    layers = [cnet.Dense(8, "tanh"), *between, cnet.Dense(2)]
    net = cnet.Sequential(layers, seed=5, dtype=dtype)
    return net.build(5).compile(optimizer or cnet.Adam(0.01), loss, metrics)


def same(net, other, **tolerances):
    for a, b in zip(net.get_weights(), other.get_weights(), strict=True):
        if tolerances:
            np.testing.assert_allclose(a, b, **tolerances)
        else:
            assert a.tobytes() == b.tobytes()


def by_hand(net, x, y, loss, batch_size, accumulate):
    """One epoch as one writes it in PyTorch; the losses of its steps."""
    losses = []
    for first in range(0, len(x), batch_size * accumulate):
        rows = range(first, min(first + batch_size * accumulate, len(x)))
        net.zero_gradients()
        losses.append(0.0)
        for begin in range(first, rows.stop, batch_size):
            part = slice(begin, min(begin + batch_size, rows.stop))
            share = (part.stop - part.start) / len(rows)
            outputs = net.forward(x[part], training=True)
            losses[-1] += share * loss(outputs, y[part])
            net.backward(share * loss.gradient(outputs, y[part]))
        net.apply_gradients()
    return losses


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "hinge", "cosine"])
@pytest.mark.parametrize("rows", [96, 100, 20])
def test_a_step_is_that_of_one_large_batch(loss, rows):
    """Also at the end of an epoch: of 100 rows the last step has 4, of 20 the only one has 20."""
    x, y = data(rows)
    y = np.sign(y) if loss == "hinge" else y
    nets = [network(loss=loss, metrics=["mse"] if loss == "mse" else []) for _ in range(2)]
    histories = [
        nets[0].fit(x, y, epochs=3, batch_size=8, accumulate=4, verbose=0),
        nets[1].fit(x, y, epochs=3, batch_size=32, verbose=0),
    ]
    same(*nets, rtol=1e-10, atol=1e-13)
    for name in set(histories[0].rows[0]) - {"seconds"}:
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-12)
    assert nets[0].rule.running[0] == nets[1].rule.running[0] == 3 * -(-rows // 32)


def test_in_pieces_of_1024_rows_it_is_the_same_bits():
    """That is how larger batches pass anyway."""
    x, y = data(5000)
    nets = [network(cnet.Dropout(0.3), dtype="float32") for _ in range(2)]
    nets[0].fit(x, y, epochs=2, batch_size=1024, accumulate=3, verbose=0)
    nets[1].fit(x, y, epochs=2, batch_size=3072, verbose=0)
    same(*nets)


def test_one_is_what_there_was():
    x, y = data()
    nets = [network(cnet.BatchNormalization()) for _ in range(2)]
    nets[0].fit(x, y, epochs=2, batch_size=16, accumulate=1, verbose=0)
    nets[1].fit(x, y, epochs=2, batch_size=16, verbose=0)
    same(*nets)


def test_random_layers_draw_by_the_row_of_the_step():
    x, y = data()
    nets = [network(cnet.Dropout(0.5), cnet.GaussianNoise(0.1)) for _ in range(2)]
    nets[0].fit(x, y, epochs=2, batch_size=8, accumulate=4, verbose=0)
    nets[1].fit(x, y, epochs=2, batch_size=32, verbose=0)
    same(*nets, rtol=1e-10, atol=1e-13)


def test_augmentation_is_that_of_the_large_batch():
    x, y = data()
    augment = [cnet.augment.Noise(0.2), cnet.augment.Mixup(0.4)]
    nets = [network() for _ in range(2)]
    nets[0].fit(x, y, epochs=2, batch_size=8, accumulate=4, augment=augment, verbose=0)
    nets[1].fit(x, y, epochs=2, batch_size=32, augment=augment, verbose=0)
    same(*nets, rtol=1e-10, atol=1e-13)


def test_weights_of_rows_and_penalties_count_once():
    (x, y), weights = data(), np.linspace(0.1, 3, 100)
    nets = [
        cnet.Sequential([cnet.Dense(2)], seed=1, dtype="float64", kernel_regularizer="l2")
        .compile(cnet.SGD(0.1, momentum=0.9, global_clipnorm=0.5), "mse") for _ in range(2)
    ]  # fmt: skip
    nets[0].fit(x, y, sample_weight=weights, batch_size=8, accumulate=4, verbose=0)
    nets[1].fit(x, y, sample_weight=weights, batch_size=32, verbose=0)
    same(*nets, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("loss", [cnet.losses.MeanSquaredError(), cnet.losses.Cosine()])
@pytest.mark.parametrize("rows", [96, 100, 90])
def test_batch_normalisation_is_that_of_a_loop_by_hand(loss, rows):
    x, y = data(rows)
    nets = [network(cnet.BatchNormalization(0.7), loss=loss) for _ in range(2)]
    found = nets[0].fit(x, y, batch_size=8, accumulate=4, shuffle=False, verbose=0)["loss"]
    losses = by_hand(nets[1], x, y, loss, 8, 4)
    same(*nets, rtol=1e-9, atol=1e-12)
    sizes = [min(32, rows - first) for first in range(0, rows, 32)]
    assert found[0] == pytest.approx(np.average(losses, weights=sizes), rel=1e-12)


def test_moving_statistics_move_once_per_batch():
    """PyTorch's formula: moving = 0.7 moving + 0.3 of the batch's, the variance unbiased."""
    x, y = data(64)
    net = cnet.Sequential([cnet.BatchNormalization(0.7), cnet.Dense(2)], seed=1, dtype="float64")
    net.compile("sgd", "mse")
    net.fit(x, y, batch_size=16, accumulate=4, shuffle=False, verbose=0)
    mean, variance = np.zeros(5), np.ones(5)
    for part in x.reshape(4, 16, 5):
        mean = 0.7 * mean + 0.3 * part.mean(0)
        variance = 0.7 * variance + 0.3 * part.var(0, ddof=1)
    found = net.buffers
    np.testing.assert_allclose(found["batch_normalization_1.moving_mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(found["batch_normalization_1.moving_variance"], variance, rtol=1e-12)


def test_the_root_is_taken_batch_by_batch():
    x, y = data(90)
    nets = [network(loss="rmse", optimizer=cnet.SGD(0.1)) for _ in range(2)]
    found = nets[0].fit(x, y, batch_size=8, accumulate=4, shuffle=False, verbose=0)["loss"]
    loss = cnet.losses.RootMeanSquaredError()
    losses = by_hand(nets[1], x, y, loss, 8, 4)
    same(*nets, rtol=1e-10, atol=1e-13)
    assert found[0] == pytest.approx(np.average(losses, weights=[32, 32, 26]), rel=1e-12)


@pytest.mark.parametrize("row", [4, 20, 31])
def test_a_step_that_fails_changes_nothing(row):
    """Whichever of its batches it is in: moving statistics that have moved already come back."""
    x, y = data(64)
    net = network(cnet.BatchNormalization())
    y[32 + row] = 1e200
    net.fit(x[:32], y[:32], batch_size=8, accumulate=4, shuffle=False, verbose=0)
    expected = [w.copy() for w in net.get_weights()]
    with pytest.raises(cnet.NonFiniteError):
        net.fit(x[32:], y[32:], batch_size=8, accumulate=4, shuffle=False, verbose=0)
    for before, now in zip(expected, net.get_weights(), strict=True):
        assert before.tobytes() == now.tobytes()


def test_memory_is_that_of_one_batch():
    from cnet import training

    x, y = data(2000)
    net = network(cnet.BatchNormalization())
    rows = training.prepare(net, x, y, None)
    small, large, pieces = (
        training.batches(net, rows, size, net.rule, 1, piece).nbytes
        for size, piece in ((50, 0), (1000, 0), (1000, 50))
    )
    one_row = 2 * 8 * (5 + 8 + 8 + 2)  # inputs, what each layer makes of them, and their slopes
    assert pieces == small and large - small > 950 * one_row


def test_steps_are_what_is_counted():
    x, y = data(100)
    seen = []

    class Count(cnet.callbacks.Callback):
        every = 1

        def on_batch_end(self, run):
            seen.append(run.batch)

    rates = []

    def rate(step):
        rates.append(step)
        return 0.01

    net = network(optimizer=cnet.SGD(rate))
    net.fit(x, y, epochs=2, batch_size=8, accumulate=4, verbose=0, callbacks=[Count()])
    assert seen == [1, 2, 3, 4] * 2 and sorted(set(rates)) == list(range(8))
    net.fit(x, y, epochs=1, batch_size=8, accumulate=4, steps_per_epoch=3, verbose=0)
    assert net.rule.running[0] == 11


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path):
    x, y = data(100)

    def run(epochs, **settings):
        net = network(cnet.BatchNormalization(), cnet.Dropout(0.2))
        keep = [cnet.callbacks.Checkpoint(tmp_path, every=3)] if settings else []
        net.fit(x, y, epochs=epochs, batch_size=8, verbose=0, callbacks=keep,
                **{"accumulate": 4} | settings)  # fmt: skip
        return net

    whole = run(4)
    run(2, resume=tmp_path)
    same(run(4, resume=tmp_path), whole)
    with pytest.raises(ValueError, match="accumulate is 2, it was 4"):
        run(5, resume=tmp_path, accumulate=2)


def test_shards_end_their_steps():
    """Shards of 40, 10 and 50 rows: steps of 32 and 8, 10, 32 and 18."""
    (x, y), loss = data(), cnet.losses.MeanSquaredError()
    cuts = [slice(0, 10), slice(10, 50), slice(50, 100)]
    shards = cnet.Shards([(x[cut], y[cut]) for cut in cuts])
    nets = [network(cnet.BatchNormalization()) for _ in range(2)]
    nets[0].fit(shards, batch_size=16, accumulate=2, shuffle=False, verbose=0)
    for cut in cuts:
        by_hand(nets[1], x[cut], y[cut], loss, 16, 2)
    same(*nets, rtol=1e-9, atol=1e-12)
    assert nets[0].rule.running[0] == 5


def test_what_does_not_go():
    (x, y), net = data(), network()
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="accumulate must be"):
            net.fit(x, y, accumulate=wrong)
    with pytest.raises(TypeError, match="accumulate must be an integer"):
        net.fit(x, y, accumulate=2.0)
    with pytest.raises(ValueError, match="give batch_size a number"):
        net.fit(x, y, batch_size=None, accumulate=2)
    with pytest.raises(ValueError, match=r"nothing to add up: pass arrays or cnet\.Shards"):
        net.fit([(x, y)] * 3, batch_size=10, accumulate=2)
    with pytest.raises(cnet.ShapeError, match="leaves one of 100 rows"):
        network(cnet.BatchNormalization()).fit(x, y, batch_size=11, accumulate=2)

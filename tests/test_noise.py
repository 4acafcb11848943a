"""Dropout, Gaussian dropout, Gaussian noise: their bits, gradients and repetition.

How they are distributed is in test_noise_statistics.py.
"""

import copy
import itertools
import os
import pathlib
import subprocess
import sys
import zlib

import numpy as np
import pytest
import reference_noise
from buffers import guarded
from gradcheck import assert_gradient, differences
from networks import Unchanged, refused, regression, rows, snapshot
from reference_noise import kernel as m_of

import cnet
from cnet._core import kernels, noise

SETTINGS = {"dropout": 0.3, "gaussian_dropout": 0.2, "gaussian_noise": 0.7}
LAYERS = {
    "dropout": cnet.Dropout, "gaussian_dropout": cnet.GaussianDropout,
    "gaussian_noise": cnet.GaussianNoise,
}  # fmt: skip
each_kind = pytest.mark.parametrize("name", noise.NAMES)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(*layers, seed=5, dtype="float64", **settings):
    net = cnet.Sequential([*layers, cnet.Dense(2)], seed=seed, dtype=dtype)
    return net.compile(settings.pop("optimizer", "adam"), settings.pop("loss", "mse"))


def busy(**settings):
    """One layer of each kind, in front of the first dense layer and behind it."""
    return network(cnet.Dropout(0.2), cnet.GaussianNoise(0.1), cnet.Dense(7, "tanh"),
                   cnet.GaussianDropout(0.3), cnet.Dropout(0.5), **settings)  # fmt: skip


# ---- bits ----------------------------------------------------------------------------------------


def test_the_reference_is_philox():
    """The known answers of the authors' own library, Random123 (kat_vectors)."""
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
    ones = 0xFFFFFFFF
    answers = {
        ((0,) * 4, (0,) * 2): (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ((ones,) * 4, (ones,) * 2): (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        pi: (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    }
    for (counter, key), answer in answers.items():
        assert tuple(map(int, reference_noise.philox(key, counter))) == answer


@each_dtype
@each_kind
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 64), (9, 100), (300, 33)], ids=str)
def test_kernels_draw_what_is_documented(name, dtype, shape):
    numbers = {"seed": 2**63 + 12345, "step": 2**33 + 7, "stream": 2**24 - 3}
    expected = reference_noise.drawn(name, shape, SETTINGS[name], **numbers)
    for back in (False, True):
        found = m_of(name, shape, SETTINGS[name], dtype, back, **numbers)
        if back and name == "gaussian_noise":
            assert not found.any()
        elif name == "dropout":
            assert np.array_equal(found, expected.astype(dtype))
        else:
            # Radii reach 7; their error is that of the logarithm's argument near 1, 2^-24 there.
            units = 4e-6 if dtype == "float32" else 1e-13
            close = np.abs(found - expected) < units
            assert close.mean() > 0.999
            assert np.abs(found - expected).max() < (3e-4 if dtype == "float32" else 1e-9)


@each_kind
def test_kernels_stay_within_their_arrays(name):
    for shape in itertools.product((1, 2, 5), (1, 31, 32, 63, 65)):
        x, y = guarded(rows(*shape)), guarded(np.zeros(shape))
        given = x.array.copy()
        noise.forward(name, x.array, y.array, SETTINGS[name], first_row=3)
        x.assert_untouched()
        y.assert_untouched()
        assert np.array_equal(x.array, given)
        m = reference_noise.drawn(name, shape, SETTINGS[name], first_row=3)
        expected = given + m if name == "gaussian_noise" else given * m
        np.testing.assert_allclose(y.array, expected, rtol=1e-9, atol=1e-9)


@each_kind
def test_pieces_of_a_batch_draw_what_the_batch_does(name):
    """Also pieces that begin in the middle of a group of blocks."""
    x = rows(300, 13)
    whole = np.empty_like(x)
    noise.forward(name, x, whole, SETTINGS[name], seed=3, step=4)
    for cut in (1, 64, 101, 299):
        parts = np.empty_like(x)
        noise.forward(name, x[:cut], parts[:cut], SETTINGS[name], seed=3, step=4)
        noise.forward(name, x[cut:], parts[cut:], SETTINGS[name], seed=3, step=4, first_row=cut)
        assert parts.tobytes() == whole.tobytes()


@each_kind
def test_threads_change_no_bit_of_a_kernel(name):
    x = rows(411, 500, "float32")
    results = []
    for threads in (1, 2, 3, 8):
        y = np.empty_like(x)
        noise.forward(name, x, y, SETTINGS[name], seed=3, threads=threads)
        results.append(y.tobytes())
    assert len(set(results)) == 1


CHECKSUM = (
    "import numpy as np, zlib; from cnet._core import noise; x = np.ones((100, 333), 'f4');"
    "y = x.copy(); noise.forward('dropout', x, y, 0.4, seed=9, step=2); print(zlib.crc32(y))"
)


@pytest.mark.parametrize("isa", kernels.supported_isas())
def test_every_instruction_set_has_the_same_masks(isa):
    done = subprocess.run(
        [sys.executable, "-c", CHECKSUM], env=os.environ | {"CNET_ISA": isa},
        cwd=pathlib.Path(__file__).parent, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    mask = reference_noise.drawn("dropout", (100, 333), 0.4, seed=9, step=2)
    assert int(done.stdout) == zlib.crc32(mask.astype("f4"))


def test_the_twins_refuse_what_does_not_fit():
    x = np.ones((2, 3))
    with refused(ValueError, "unknown layer 'dropin'", "gaussian_noise"):
        noise.forward("dropin", x, x.copy(), 0.5)
    with refused(ValueError, r"\(2, 3\)", r"\(3, 2\)"):
        noise.forward("dropout", x, np.ones((3, 2)), 0.5)
    with pytest.raises((TypeError, ValueError)):
        noise.forward("dropout", x, np.ones((2, 3), "f4"), 0.5)


# ---- in networks ---------------------------------------------------------------------------------


@each_dtype
def test_a_training_pass_is_the_documented_one(dtype):
    """x (5 columns), dropout, noise, dense, Gaussian dropout: operations 0, 1, 2, 3 of the step."""
    net = cnet.Sequential(
        [cnet.Dropout(0.4), cnet.GaussianNoise(0.1), cnet.Dense(6), cnet.GaussianDropout(0.3)],
        seed=77, dtype=dtype,
    ).build(5)  # fmt: skip
    x = rows(9, 5, dtype)
    found = net.forward(x, training=True, step=3)
    numbers = {"seed": 77, "step": 3}
    h = x * reference_noise.drawn("dropout", (9, 5), 0.4, **numbers, stream=0)
    h = h + reference_noise.drawn("gaussian_noise", (9, 5), 0.1, **numbers, stream=1)
    h = h @ net.parameters["dense_1.weight"] + net.parameters["dense_1.bias"]
    h = h * reference_noise.drawn("gaussian_dropout", (9, 6), 0.3, **numbers, stream=3)
    np.testing.assert_allclose(found, h, rtol=1e-4, atol=2e-5 if dtype == "float32" else 1e-10)


def test_gradients_with_fixed_masks():
    net = busy().build(4)
    x, dy = rows(6, 4), rows(6, 2, seed=1)

    def loss():
        return float(np.sum(net.forward(x, training=True, step=5) * dy))

    loss()
    net.zero_gradients()
    dx = net.backward(dy)
    gradients = {key: g.copy() for key, g in net.gradients.items()}
    for key, parameter in net.parameters.items():
        assert_gradient(gradients[key], differences(loss, parameter), key)
    assert_gradient(dx, differences(loss, x), "x")


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_of_each_kind_alone(kind):
    layer = LAYERS[kind](SETTINGS[kind])
    net = network(cnet.Dense(5, "sigmoid"), layer).build(3)
    x, dy = rows(4, 3), rows(4, 2, seed=1)

    def loss():
        return float(np.sum(net.forward(x, training=True) * dy))

    loss()
    assert_gradient(net.backward(dy), differences(loss, x), kind)


def test_training_by_hand_is_fit():
    """The numbers of the optimizer's next step, in forward and in the backward after it."""
    x, y = regression()
    fitted, stepped = busy(), busy().build(4)
    fitted.fit(x, y, epochs=3, batch_size=None, shuffle=False, verbose=0)
    for _ in range(3):
        outputs = stepped.forward(x, training=True)
        assert np.array_equal(outputs, stepped.forward(x, training=True))
        stepped.zero_gradients()
        stepped.backward(cnet.losses.MeanSquaredError().gradient(outputs, y))
        stepped.apply_gradients()
    for a, b in zip(stepped.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


@each_dtype
def test_asked_they_are_not_there(dtype):
    x, y = regression(300, dtype=dtype)
    net = busy(dtype=dtype).build(4)
    plain = network(cnet.Dense(7, "tanh"), dtype=dtype).build(4)
    plain.set_weights(net.get_weights())
    assert net.predict(x).tobytes() == plain.predict(x).tobytes()
    assert net.forward(x).tobytes() == plain.forward(x).tobytes()
    assert net.evaluate(x, y) == plain.evaluate(x, y)
    assert net.backward(np.ones((300, 2))).tobytes() == plain.backward(np.ones((300, 2))).tobytes()
    assert net.forward(x, training=True).tobytes() != plain.forward(x).tobytes()
    history = net.fit(x, y, verbose=0, validation_data=(x, y))
    assert history["val_loss"][-1] == net.evaluate(x, y)["loss"]
    alone = cnet.Sequential([cnet.Dropout(0.5)], seed=1, dtype=dtype).build(4)
    assert alone.predict(x).tobytes() == x.tobytes()


@each_kind
def test_nothing_is_drawn_at_zero(name):
    x = np.array([[1.5, -0.0, np.inf, 5e-324]])
    for back in (False, True):
        y = np.empty_like(x)
        (noise.backward if back else noise.forward)(name, x, y, 0.0)
        assert y.tobytes() == x.tobytes()
    data = regression()
    net = network(cnet.Dense(7, "tanh"), LAYERS[name](0))
    plain = network(cnet.Dense(7, "tanh"))
    for one in (net, plain):
        one.fit(*data, epochs=2, verbose=0)
    assert snapshot(net) == snapshot(plain)


def test_rates_near_one_stay_finite():
    m = m_of("dropout", (2000, 1000), 1 - 1e-9, "float32", seed=2)
    assert set(np.unique(m)) == {0.0, 65536.0}


def test_every_step_draws_anew_and_the_seed_decides():
    x = rows(8, 4)
    net, again, other = busy().build(4), busy().build(4), busy(seed=6).build(4)
    other.set_weights(net.get_weights())
    passes = [net.forward(x, training=True, step=step) for step in range(3)]
    assert len({y.tobytes() for y in passes}) == 3
    assert np.array_equal(again.forward(x, training=True, step=2), passes[2])
    assert not np.array_equal(other.forward(x, training=True, step=2), passes[2])


def trained(threads=None, batch_size=3000):
    """Wide enough that threads share the work, and batches of more than one piece."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3000, 30)), rng.standard_normal((3000, 2))
    net = network(cnet.Dropout(0.2), cnet.Dense(100, "relu"), cnet.Dropout(0.5),
                  cnet.GaussianNoise(0.1), dtype="float32")  # fmt: skip
    net.fit(x, y, epochs=2, batch_size=batch_size, verbose=0, threads=threads)
    return snapshot(net)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_change_no_bit_of_training(threads):
    assert trained(threads) == trained(1)


def test_batches_of_several_pieces_draw_what_one_piece_does():
    """`fit` takes 3,000 rows in three pieces, `forward` in one."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3000, 4)), rng.standard_normal((3000, 2))
    fitted, stepped = busy(optimizer="sgd"), busy(optimizer="sgd").build(4)
    fitted.fit(x, y, batch_size=3000, shuffle=False, verbose=0)
    outputs = stepped.forward(x, training=True)
    stepped.zero_gradients()
    stepped.backward(cnet.losses.MeanSquaredError().gradient(outputs, y))
    for key, gradient in fitted.gradients.items():
        np.testing.assert_allclose(gradient, stepped.gradients[key], rtol=1e-10, atol=1e-15)


def test_a_run_that_is_saved_and_continued_has_the_same_bits(tmp_path):
    x, y = regression()
    whole, cut, copied = busy(), busy(), busy()
    whole.fit(x, y, epochs=5, batch_size=16, verbose=0)
    cut.fit(x, y, epochs=2, batch_size=16, verbose=0)
    cnet.save(cut, tmp_path / "cut.cnet")
    loaded = cnet.load(tmp_path / "cut.cnet")
    assert [repr(layer) for layer in loaded.layers] == [repr(layer) for layer in cut.layers]
    copied = copy.deepcopy(cut)
    for net in (loaded, copied):
        net.fit(x, y, epochs=3, batch_size=16, verbose=0)
        assert snapshot(net) == snapshot(whole)


def test_the_first_dense_layer_makes_no_gradient_for_what_has_no_parameters():
    """Only for what comes before it: noise in front costs no product more."""
    operations = busy().build(4).built.program.operations
    kinds = [(op["kind"], op["needs_dx"]) for op in operations]
    assert kinds == [("dropout", False), ("gaussian_noise", False), ("dense", False),
                     ("gaussian_dropout", True), ("dropout", True), ("dense", True)]  # fmt: skip


# ---- descriptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [cnet.Dropout, cnet.GaussianDropout])
def test_rates_out_of_range_are_refused(layer):
    for rate in (-0.1, 1, 1.5, np.nan, np.inf):
        with refused(ValueError, "rate must be finite and at least 0 and below 1", f"got {rate}"):
            layer(rate)
    for rate in ("0.5", None, True):
        with refused(TypeError, "rate must be a number"):
            layer(rate)


def test_deviations_out_of_range_are_refused():
    for deviation in (-0.1, np.nan, np.inf):
        with refused(ValueError, "deviation must be finite and at least 0"):
            cnet.GaussianNoise(deviation)


def test_they_are_shown(capsys):
    net = busy()
    assert repr(net.layers[0]) == "Dropout(name=None, rate=0.2)"
    net.build(4).summary()
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("gaussiannoise_1"))
    assert line.split() == ["gaussiannoise_1", "(GaussianNoise(0.1))", "4", "0"]


def test_images_keep_their_shape():
    net = cnet.Sequential([cnet.Dropout(0.5), cnet.Flatten(), cnet.Dense(2)], seed=1)
    net.build((3, 4))
    assert net.built.program.rows[0].output_shape == (3, 4)
    assert net.forward(np.ones((5, 3, 4)), training=True, step=0).shape == (5, 2)


def test_a_pass_that_draws_needs_a_step():
    net = cnet.Sequential([cnet.Dense(2), cnet.Dropout(0.5)], seed=1).build(3)
    with refused(cnet.NotBuiltError, "net.compile", "step=0"):
        net.forward(np.ones((2, 3)), training=True)
    with Unchanged(net), refused(ValueError, "step must be at least 0, got -1"):
        net.forward(np.ones((2, 3)), training=True, step=-1)
    with refused(TypeError, "training must be True or False, got 'yes'"):
        net.forward(np.ones((2, 3)), training="yes")
    plain = cnet.Sequential([cnet.Dense(2)], seed=1).build(3)
    x = np.ones((2, 3))
    assert np.array_equal(plain.forward(x, training=True), plain.forward(x))


def test_what_is_not_finite_behind_them_is_named():
    net = network(cnet.Dense(3, "exponential"), cnet.Dropout(0.1), dtype="float32").build(2)
    net.parameters["dense_1.weight"][:] = 100
    with refused(cnet.NonFiniteError, r"dense_1 \(Dense, exponential\)"):
        net.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
    assert net.built.layer_of_slot(2) == "dropout_1 (Dropout(0.1))"

"""Files: what they hold, that writing is all or nothing, and that other programs read them.

That training goes on after loading is in test_continuation.py, damaged files are in
test_damaged_files.py.
"""

import copy
import errno
import json
import os
import pathlib
import stat
import struct

import numpy as np
import pytest
from networks import classes, classifier, refused, regression, regressor, rows, snapshot

import cnet
from cnet.state import restore, state_of

EXAMPLE = {"batch_size": 16, "verbose": 0}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.cnet"


@pytest.fixture
def net():
    net = regressor("adam", metrics=["mae"])
    net.fit(*regression(), epochs=2, **EXAMPLE)
    return net


def header_of(path) -> dict:
    """Return the header, read by the format's specification."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length])


# ---- what is in a file ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_a_path_may_be_a_string(net, path, kind):
    cnet.save(net, kind(path))
    assert snapshot(cnet.load(kind(path))) == snapshot(net)


def test_a_loaded_network_is_described_alike(net, path):
    cnet.save(net, path)
    loaded = cnet.load(path)
    for name in ("dtype", "seed", "scale", "passes"):
        assert getattr(loaded, name) == getattr(net, name)
    assert repr(loaded) == repr(net)
    assert loaded.compiled == net.compiled
    x, y = regression()
    assert loaded.evaluate(x, y) == net.evaluate(x, y)


OPTIMIZERS = [
    cnet.SGD(learning_rate=0.1, momentum=0.5, nesterov=True, weight_decay=0.1),
    cnet.AdaGrad(initial_accumulator=0.5, learning_rate_decay=0.1),
    cnet.AdaDelta(rho=0.5),
    cnet.RMSprop(centered=True, momentum=0.25),
    cnet.AdamW(weight_decay=0.5, decoupled_weight_decay=False),
    cnet.Nadam(momentum_decay=0.5),
    cnet.Lion(beta_1=0.5),
    cnet.Rprop(eta_minus=0.25, max_step=2.0),
    cnet.ScheduleFreeAdamW(warmup_steps=7),
    cnet.Muon(momentum=0.5, adamw_factor=0.5),
    cnet.LBFGS(memory=3),
]
LOSSES = [
    cnet.losses.Huber(delta=0.5),
    cnet.losses.Quantile(q=0.25),
    cnet.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.125),
    cnet.losses.Poisson(from_logits=True),
    *(cnet.losses.get(name) for name in ("mse", "mae", "hinge", "cosine", "gaussian_nll")),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o.rule)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_settings_come_back(path, optimizer, loss):
    net = regressor(optimizer, loss).build(4)
    cnet.save(net, path)
    compiled = cnet.load(path).compiled
    assert compiled.optimizer == optimizer and compiled.loss == loss


@pytest.mark.parametrize("activation", cnet.activations.names())
def test_activations_come_back(path, activation):
    net = cnet.Sequential([cnet.Dense(3, activation), cnet.Activation(activation)], seed=1).build(4)
    cnet.save(net, path)
    x = rows(5, 4)
    assert cnet.load(path).predict(x).tobytes() == net.predict(x).tobytes()


def test_parameters_of_activations_come_back(path):
    steep = cnet.activations.ActivationFunction("elu", alpha=2.0)
    layers = [cnet.Dense(3, steep), cnet.Activation("leaky_relu", alpha=0.5)]
    net = cnet.Sequential(layers, seed=1, dtype="float64").build(4)
    cnet.save(net, path)
    x = rows(50, 4)
    assert cnet.load(path).predict(x).tobytes() == net.predict(x).tobytes()


@pytest.mark.parametrize("initializer", cnet.initializers.names())
def test_initializers_come_back(path, initializer):
    layer = cnet.Dense(3, kernel_initializer=initializer)
    cnet.save(cnet.Sequential([layer], seed=1).build(4), path)
    assert cnet.load(path).layers[0].kernel_initializer == layer.kernel_initializer


def test_first_values_of_the_users_own_survive(path):
    given = rows(4, 3)
    fives = lambda shape: np.full(shape, 5)  # noqa: E731
    layer = cnet.Dense(3, kernel_initializer=given, bias_initializer=fives)
    net = cnet.Sequential([layer], seed=1, dtype="float64").build(4)
    cnet.save(net, path)
    loaded = cnet.load(path)
    assert np.array_equal(loaded.parameters["dense_1.weight"], given)
    assert (loaded.parameters["dense_1.bias"] == 5).all()
    cnet.save(loaded, path)  # and what is loaded can be saved
    assert snapshot(cnet.load(path)) == snapshot(net)


@pytest.mark.parametrize("inputs", [None, 4])
def test_first_values_are_not_drawn_to_be_overwritten(monkeypatch, path, inputs):
    """Neither for a file nor for a copy, not even by a constructor that builds at once."""
    layers = [
        cnet.Dense(5, inputs=inputs, kernel_initializer="orthogonal"),
        cnet.BatchNormalization(),
        cnet.Dense(2),
    ]
    net = cnet.Sequential(layers, seed=1).build(4).compile("adam", "mse")
    net.fit(rows(16, 4), rows(16, 2), **EXAMPLE)
    cnet.save(net, path)

    def refuse(*arguments):
        raise AssertionError("first values were drawn")

    with monkeypatch.context() as patch:
        for cls in (cnet.initializers.Normal, cnet.initializers.VarianceScaling):
            patch.setattr(cls, "sample", refuse)
        for other in (cnet.load(path), copy.deepcopy(net)):
            assert snapshot(other) == snapshot(net)
        config, arrays = state_of(net)
        with refused(cnet.FileFormatError, "dense_1.bias should be there"):
            restore(config, arrays | {"dense_1.bias": np.zeros(3)}, cnet.Sequential, {})
    fresh = cnet.Sequential([copy.copy(layer) for layer in layers], seed=1).build(4)
    assert np.linalg.norm(fresh.parameters["dense_1.weight"]) == pytest.approx(2, rel=1e-6)


def test_numpys_numbers_are_numbers(path):
    layers = [cnet.Dense(np.int64(3), inputs=np.int32(4), use_bias=np.True_)]
    net = cnet.Sequential(layers, seed=np.int64(1), scale=np.float32(0.5))
    optimizer = cnet.SGD(learning_rate=np.float32(0.1), momentum=np.float64(0.5), nesterov=np.True_)
    net.compile(optimizer, cnet.losses.Huber(delta=np.float32(0.25)))
    cnet.save(net, path)
    assert snapshot(cnet.load(path)) == snapshot(net)


def test_images_flatten_and_scale_come_back(path):
    net = cnet.Sequential([cnet.Flatten(), cnet.Dense(3)], seed=1, scale=1 / 255).build((4, 5))
    images = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    cnet.save(net, path)
    assert cnet.load(path).predict(images).tobytes() == net.predict(images).tobytes()


def test_names_of_layers_come_back(path):
    layers = [cnet.Dense(3, name="häd"), cnet.Dense(2, name="__metadata__")]
    cnet.save(cnet.Sequential(layers, seed=1).build(4), path)
    assert list(cnet.load(path).parameters) == [
        "häd.weight", "häd.bias", "__metadata__.weight", "__metadata__.bias"
    ]  # fmt: skip


def test_a_network_that_is_not_finite_can_be_saved(path, net):
    net.parameters["dense_1.bias"][:] = [np.nan, np.inf, -np.inf, -0.0, 5e-324]
    cnet.save(net, path)
    assert snapshot(cnet.load(path)) == snapshot(net)


def test_the_state_of_the_optimizer_is_in_the_file(path, net):
    cnet.save(net, path)
    names = [name for name in header_of(path) if name != "__metadata__"]
    parameters = list(net.parameters)
    assert names == [
        *parameters,
        *(f"optimizer.{i}/{name}" for i in (0, 1) for name in parameters),
    ]


def test_an_uncompiled_network_has_no_optimizer_in_its_file(path):
    net = cnet.Sequential([cnet.Dense(3)], seed=1).build(4)
    cnet.save(net, path)
    assert [*header_of(path)] == ["__metadata__", "dense_1.weight", "dense_1.bias"]


def test_a_file_does_not_grow_with_training(path, net):
    cnet.save(net, path)
    size = path.stat().st_size
    net.fit(*regression(), epochs=200, **EXAMPLE)
    cnet.save(net, path)
    assert abs(path.stat().st_size - size) < 100  # a few digits
    arrays = 3 * sum(values.nbytes for values in net.parameters.values())
    assert path.stat().st_size < arrays + 4000


def test_the_same_network_makes_the_same_file(path, net):
    cnet.save(net, path)
    first = path.read_bytes()
    cnet.save(cnet.load(path), path)
    assert path.read_bytes() == first


def test_nothing_in_a_file_is_a_pickle(path, net):
    cnet.save(net, path)
    raw = path.read_bytes()
    assert b"pickle" not in raw and b"cnet.layers" not in raw
    assert set(header_of(path)["__metadata__"]) == {"format", "cnet"}


# ---- other programs ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_safetensors_opens_what_is_written(path, dtype):
    safetensors = pytest.importorskip("safetensors")
    net = classifier(dtype=dtype)
    net.fit(*classes(), **EXAMPLE)
    cnet.save(net, path)
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata()["format"] == "cnet"
        for name, values in net.parameters.items():
            assert np.array_equal(file.get_tensor(name), values)
            assert file.get_tensor(name).dtype == dtype
        states = [name for name in file.keys() if name.startswith("optimizer")]  # noqa: SIM118
    assert len(states) == 2 * len(net.parameters)


def test_what_safetensors_writes_can_be_loaded(path, net):
    numpy_files = pytest.importorskip("safetensors.numpy")
    safetensors = pytest.importorskip("safetensors")
    cnet.save(net, path)
    arrays = numpy_files.load_file(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    arrays["dense_1.bias"] = arrays["dense_1.bias"] + 1
    numpy_files.save_file(arrays, path, metadata)
    loaded = cnet.load(path)
    assert np.array_equal(loaded.parameters["dense_1.bias"], net.parameters["dense_1.bias"] + 1)
    net.parameters["dense_1.bias"][:] += 1
    assert snapshot(loaded) == snapshot(net)


def test_the_header_ends_at_a_multiple_of_eight(path, net):
    """So that the arrays are aligned for whoever maps the file."""
    cnet.save(net, path)
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    assert length % 8 == 0


# ---- all or nothing ------------------------------------------------------------------------------


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failed_save_leaves_what_was_there(monkeypatch, path, net, function):
    cnet.save(net, path)
    before = path.read_bytes()
    net.fit(*regression(), **EXAMPLE)
    with monkeypatch.context() as patch:
        patch.setattr(os, function, full_disk)
        with pytest.raises(OSError, match="No space left"):
            cnet.save(net, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
    cnet.save(net, path)
    assert snapshot(cnet.load(path)) == snapshot(net)


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_ctrl_c_during_a_save_leaves_what_was_there(monkeypatch, path, net, function):
    def ctrl_c(*_):
        raise KeyboardInterrupt

    path.write_bytes(b"before")
    monkeypatch.setattr(os, function, ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        cnet.save(net, path)
    assert path.read_bytes() == b"before" and os.listdir(path.parent) == [path.name]


def test_nowhere_to_save_to(tmp_path, net):
    with pytest.raises(FileNotFoundError):
        cnet.save(net, tmp_path / "missing" / "network.cnet")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="folder"):
        cnet.save(net, folder)
    assert os.listdir(tmp_path) == ["folder"] and os.listdir(folder) == []


@pytest.mark.skipif(os.name == "nt", reason="directories have other permissions there")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path, net):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            cnet.save(net, tmp_path / "network.cnet")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask to speak of")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o027])
def test_permissions_follow_the_umask(path, net, umask):
    before = os.umask(umask)
    try:
        cnet.save(net, path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_the_longest_name_that_a_folder_takes(tmp_path, net):
    path = tmp_path / ("n" * 250)
    cnet.save(net, path)
    assert snapshot(cnet.load(path)) == snapshot(net)


def test_an_unbuilt_network_has_nothing_to_save(path):
    with refused(cnet.NotBuiltError, "not built"):
        cnet.save(regressor(), path)
    assert not path.exists()


def test_a_file_that_is_not_there(path):
    with refused(FileNotFoundError, "network.cnet"):
        cnet.load(path)

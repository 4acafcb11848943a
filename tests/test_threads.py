"""Several threads: the same bits as one, in every kernel that shares work; forks; the setting."""

import math
import os
import pathlib
import re
import signal
import threading

import numpy as np
import pytest

import cnet
from cnet import threads as setting
from cnet._core import kernels

COUNTS = (2, 3, 8)


@pytest.fixture(autouse=True)
def _one_thread_before_and_after():
    assert cnet.get_threads() == 1
    yield
    cnet.set_threads(1)


def bits(array):
    return array.tobytes()


# ---- products ------------------------------------------------------------------------------------

# Cut along rows, along columns, with edges on both sides, few rows.
SHARED = [
    (700, 130, 260), (128, 517, 784), (97, 2050, 100), (1030, 65, 300), (8, 4100, 500),
    (264, 264, 264), (1500, 41, 400),
]  # fmt: skip
# Left to one thread; one row and one column are, until they are very long.
ALONE = [(700, 130, 96), (1030, 65, 200), (32, 32, 32), (1, 3000, 2000), (5000, 1, 1000),
         (30, 700, 300)]  # fmt: skip
SOURCES = pathlib.Path(__file__).parents[1] / "csrc"


@pytest.mark.skipif(not SOURCES.is_dir(), reason="the C sources are not here")
def test_the_limit_is_between_these_products():
    text = (SOURCES / "product.h").read_text("utf-8")
    (limit,) = re.findall(r"#define CNET_SHARE_FROM (\S+)", text)
    assert max(map(math.prod, ALONE)) < float(limit) <= min(map(math.prod, SHARED))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHARED + ALONE, ids=str)
def test_products_have_the_same_bits(shape, dtype, own_products):
    M, N, K = shape
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((M, K)).astype(dtype), rng.standard_normal((K, N)).astype(dtype)
    bias, start = rng.standard_normal(N).astype(dtype), rng.standard_normal((M, N)).astype(dtype)
    layouts = [(a, b), (np.asfortranarray(a), b), (a, np.asfortranarray(b))]
    for left, right in layouts:
        for given, add in ((None, False), (bias, False), (None, True)):
            results = []
            for threads in (1, *COUNTS):
                out = start.copy()
                kernels.gemm(left, right, out, given, add, threads)
                results.append(out)
            expected = a.astype(float) @ b + (0 if given is None else given) + (start if add else 0)
            np.testing.assert_allclose(results[0], expected, rtol=1e-3, atol=1e-3)
            assert {bits(out) for out in results} == {bits(results[0])}


@pytest.mark.skipif(kernels.find_blas() is None, reason="OpenBLAS is not installed")
def test_parts_given_to_openblas_do_not_depend_on_the_threads():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s).astype("f4") for s in ((300, 200), (200, 2600)))
    kernels.use_blas(True, 1e6)
    try:
        results = [np.empty((300, 2600), "f4") for _ in range(4)]
        for threads, out in zip((1, *COUNTS), results, strict=True):
            kernels.gemm(a, b, out, threads=threads)
    finally:
        kernels.use_blas(True)
    np.testing.assert_allclose(results[0], a @ b, rtol=1e-3, atol=1e-3)
    assert {bits(out) for out in results} == {bits(results[0])}


# ---- networks ------------------------------------------------------------------------------------


def trained(threads, dtype="float32", activation="tanh", optimizer="adam"):
    """Weights, states, outputs and history of a network that is wide enough to be shared."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((700, 300)), rng.integers(0, 30, 700)
    net = cnet.Sequential(
        [
            cnet.Dense(520, activation),
            cnet.Dense(260),
            cnet.Activation("gelu"),
            cnet.Dense(30, "softmax"),
        ],
        seed=5,
        dtype=dtype,
    )
    net.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = net.fit(
        x, y, epochs=2, batch_size=300, verbose=0, threads=threads, validation_data=(x, y)
    )
    figures = {name: values for name, values in history.to_dict().items() if name != "seconds"}
    outputs = net.predict(x, threads=threads)
    evaluated = net.evaluate(x, y, threads=threads)
    return (
        [bits(w) for w in net.get_weights()],
        bits(net.rule.states),
        bits(outputs),
        {name: list(values) for name, values in figures.items()},
        evaluated,
    )


@pytest.mark.parametrize(
    ("dtype", "activation", "optimizer"),
    [("float32", "tanh", "adam"), ("float64", "relu", "sgd"), ("float32", "softmax", "amsgrad")],
)
def test_training_has_the_same_bits(dtype, activation, optimizer):
    alone = trained(1, dtype, activation, optimizer)
    for threads in COUNTS:
        assert trained(threads, dtype, activation, optimizer) == alone


def test_work_is_really_shared():
    """More threads than any other test asks for: only this call can have started them."""
    before = kernels.pool_workers()
    trained(12)
    assert kernels.pool_workers() > max(before, 8)


def test_by_hand_has_the_same_bits():
    rng = np.random.default_rng(2)
    x, dy = rng.standard_normal((400, 500)), rng.standard_normal((400, 300))
    found = []
    for threads in (1, *COUNTS):
        cnet.set_threads(threads)
        net = cnet.Sequential([cnet.Dense(600, "silu"), cnet.Dense(300)], seed=1).build(500)
        net.compile("lion")
        outputs = net.forward(x)
        dx = net.backward(dy)
        net.apply_gradients()
        found.append((bits(outputs), bits(dx), [bits(w) for w in net.get_weights()]))
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 1000, 20_000])
def test_predictions_have_the_same_bits(rows):
    """One chunk is shared as a whole, several are dealt out; also where rows must be converted."""
    net = cnet.Sequential([cnet.Dense(1700, "relu"), cnet.Dense(7)], seed=1).build(40)
    x = np.random.default_rng(0).integers(-9, 9, (rows, 40))
    for given in (x.astype("f4"), x, x.astype("f8")[:, ::-1]):
        expected = net.predict(given)
        for threads in COUNTS:
            out = np.full_like(expected, np.nan)
            assert bits(net.predict(given, out, threads=threads)) == bits(expected)


# ---- several callers, forks ----------------------------------------------------------------------


def test_callers_side_by_side_get_what_they_would_alone():
    """One has the pool, the others work alone meanwhile."""
    expected = trained(1)
    found = []
    callers = [threading.Thread(target=lambda: found.append(trained(3))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 4 and all(one == expected for one in found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_trains_and_predicts():
    expected = trained(3)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that hangs ends
        good = kernels.pool_workers() == 0 and trained(3) == expected
        good = good and kernels.pool_workers() >= 2
        os.write(writer, b"good" if good else b"bad")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert answer.read() == b"good"
    assert os.waitpid(child, 0)[1] == 0
    assert trained(3) == expected  # and the parent is none the worse


# ---- the setting ---------------------------------------------------------------------------------


def test_setting():
    assert cnet.set_threads(3) == 3 == cnet.get_threads()
    assert cnet.info()["threads"] == 3
    assert cnet.set_threads("auto") == setting.available_cpus() == cnet.info()["cpus"]


@pytest.mark.parametrize("wrong", [0, -1, 257, 1.5, "many", None, True])
def test_wrong_numbers(wrong):
    if wrong is not None:
        net = cnet.Sequential([cnet.Dense(1)], seed=1).build(2)
        with pytest.raises((ValueError, TypeError), match="threads"):
            net.predict(np.ones((3, 2)), threads=wrong)
    with pytest.raises((ValueError, TypeError), match="threads"):
        cnet.set_threads(wrong)
    assert cnet.get_threads() == 1


def group(root, path, **files):
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def membership(root, text):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(text)


def test_no_control_groups(tmp_path):
    assert setting._cgroup_quota(tmp_path) is None


def test_quota_of_version_2(tmp_path):
    membership(tmp_path, "0::/app/web\n")
    group(tmp_path, "app/web", cpu__max="max 100000")
    assert setting._cgroup_quota(tmp_path) is None
    group(tmp_path, "app", cpu__max="250000 100000")
    assert setting._cgroup_quota(tmp_path) == 2.5
    group(tmp_path, "app/web", cpu__max="150000 100000")
    assert setting._cgroup_quota(tmp_path) == 1.5


def test_quota_of_a_container_whose_path_is_the_hosts(tmp_path):
    membership(tmp_path, "0::/docker/0123\n")
    group(tmp_path, "", cpu__max="50000 100000")
    assert setting._cgroup_quota(tmp_path) == 0.5


def test_quota_of_version_1(tmp_path):
    membership(tmp_path, "5:memory:/x\n3:cpu,cpuacct:/x\n0::/\n")
    group(tmp_path, "cpu/x", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert setting._cgroup_quota(tmp_path) is None
    group(tmp_path, "cpu/x", cpu__cfs_quota_us="400000", cpu__cfs_period_us="100000")
    assert setting._cgroup_quota(tmp_path) == 4

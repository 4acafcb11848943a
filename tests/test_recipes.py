"""The recipes of docs/adding.md lead where they say, and their code works there."""

import __future__

import ctypes
import pathlib
import re
import shutil
import subprocess
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import reference
import reference_updates

from cnet import (
    Dense,
    Sequential,
    callbacks,
    datasets,
    deviations,
    initializers,
    losses,
    measures,
    optimizers,
    schedules,
)
from cnet._core import kernels

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "adding.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the documentation is not here")


class Block(NamedTuple):
    """Lines, and where in which file they belong: before the last or after the first such line."""

    file: str
    where: str
    anchor: str
    code: str


def blocks() -> list[Block]:
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(
        r"^```\w+ (\S+) \| (before|after) \| ([^\n]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    assert len(found) == text.count("\n```") / 2, "a block does not say where it belongs"
    return [Block(*block) for block in found]


def follow(text: str, block: Block) -> str:
    lines = text.splitlines(keepends=True)
    places = [i for i, line in enumerate(lines) if line.startswith(block.anchor)]
    assert places, f"{block.file} has no line that begins with {block.anchor!r}"
    at = places[-1] if block.where == "before" else places[0] + 1
    return "".join([*lines[:at], block.code, *lines[at:]])


def changed_files() -> dict[str, str]:
    """Return every file that the recipes change, as it is after all of them."""
    files: dict[str, str] = {}
    for block in blocks():
        text = files.get(block.file) or (ROOT / block.file).read_text(encoding="utf-8")
        files[block.file] = follow(text, block)
    return files


def python(file: str, module) -> dict:
    """Return a module's names after the blocks that belong to its file, without their registry."""
    names = dict(vars(module))
    for block in blocks():
        if block.file == file and not block.code.startswith((" ", "\t")):
            flags = __future__.annotations.compiler_flag
            exec(compile(block.code, file, "exec", flags), names)
    return names


def entries(file: str, table: str, names: dict) -> dict:
    """Return what the blocks add to a dict of that name."""
    found: dict = {}
    for block in blocks():
        if block.file == file and block.anchor.startswith(table):
            found |= eval("{" + block.code + "}", names)
    assert found
    return found


# ---- places --------------------------------------------------------------------------------------


def places() -> list[tuple[str, str]]:
    lines = re.findall(
        r"^- `([\w/.]+)`, (`[^:]+`):", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [(file, name) for file, listed in lines for name in re.findall(r"`([^`]+)`", listed)]


def test_every_item_names_a_place():
    text = PAGE.read_text(encoding="utf-8")
    assert len(re.findall(r"^- ", text, re.MULTILINE)) == len(
        re.findall(r"^- `[\w/.]+`, `[^:]+`:", text, re.MULTILINE)
    )


@pytest.mark.parametrize(("file", "name"), places())
def test_places_exist(file, name):
    text = (ROOT / file).read_text(encoding="utf-8")
    # Functions of the kernels are written F(name).
    assert re.search(rf"\b{re.escape(name)}\b", text), f"{file} has no {name}"


def test_blocks_belong_to_the_places_before_them():
    """Each block follows an item that names its file."""
    file = ""
    for item, block in re.findall(
        r"^- `([\w/.]+)`|^```\w+ (\S+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    ):
        file = item or file
        assert block in ("", file)


def test_python_files_still_compile():
    for file, text in changed_files().items():
        if file.endswith(".py"):
            compile(text, file, "exec")


def test_examples_are_not_there_yet():
    assert "log_sigmoid" not in kernels.ACTIVATIONS and "log_cosh" not in kernels.LOSSES
    assert "radam" not in kernels.OPTIMIZERS and "max_error" not in kernels.METRICS
    assert "Triangle" not in schedules.names()
    assert "gain" not in kernels.LAYERS and "rademacher" not in initializers.names()


# ---- the C of the recipes, against their formulas ------------------------------------------------

PROBE = """
#include "cnet.h"
#include "blas.h"
cnet_sgemm_function cnet_blas_f32;
cnet_dgemm_function cnet_blas_f64;
double cnet_blas_from;
extern const cnet_kernels cnet_kernels_f64_baseline;
#define K (&cnet_kernels_f64_baseline)

void activation(size_t n, const double *x, double *y, double *dx)
{
    K->activate[CNET_ACT_log_sigmoid](1, n, 0, x, y);
    K->activate_backward[CNET_ACT_log_sigmoid](1, n, 0, x, y, dx, dx);
}
double loss(size_t rows, size_t columns, const double *y, const double *t, double *dy)
{
    const cnet_loss settings = {CNET_LOSS_log_cosh, 0, 0};
    return K->loss[CNET_LOSS_log_cosh](&settings, rows, columns, y, t, NULL, 1, dy);
}
double metric(size_t columns, const double *y, const double *t)
{
    double sums[2] = {0, 0};
    K->metric[CNET_METRIC_max_error](1, columns, y, t, NULL, sums);
    return sums[0];
}
void update(const double *settings, double *running, double g, double *p, double *states)
{
    double h[CNET_HYPER];
    cnet_prepare(CNET_OPT_radam, settings, running, h);
    K->update[CNET_OPT_radam](1, h, &g, p, states, states + 1, NULL);
}
void layer(size_t rows, size_t columns, double *x, double *w, double *y, double *dy, double *dw,
           double *dx, int fresh)
{
    const cnet_op op = {.kind = CNET_LAYER_gain, .inputs = columns, .outputs = columns, .x = 0,
                        .y = 1, .weight = 0, .bias = CNET_NONE, .needs_dx = 1};
    void *value[] = {x, y}, *slope[] = {dx, dy};
    const cnet_run run = {.rows = rows, .value = value, .slope = slope, .parameters = w,
                          .gradients = dw, .training = 1, .fresh = fresh};
    K->forward[CNET_LAYER_gain](&op, &run);
    K->backward[CNET_LAYER_gain](&op, &run);
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The kernels of one instruction set with all recipes followed, as a library of their own."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("recipes")
    shutil.copytree(ROOT / "csrc", folder / "csrc")
    for file, text in changed_files().items():
        if file.startswith("csrc/"):
            (folder / file).write_text(text, encoding="utf-8")
    (folder / "csrc" / "probe.c").write_text(PROBE, encoding="utf-8")
    names = ("isa_baseline", "muon", "optimizers", "pool", "sources", "probe")
    sources = [f"csrc/{name}.c" for name in names]
    options = ["-std=gnu11", "-O0", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    subprocess.run(
        [compiler, *options, "-shared", "-fPIC", "-Icsrc", *sources, "-lm", "-o", "recipes.so"],
        cwd=folder,
        check=True,
    )
    library = ctypes.CDLL(str(folder / "recipes.so"))
    library.loss.restype = library.metric.restype = ctypes.c_double
    return library


def at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(0, 2, shape)


def test_activation(compiled):
    formula = entries("tests/reference.py", "ACTIVATIONS", vars(reference))["log_sigmoid"]
    x = np.array([-800.0, -40.0, *numbers(20), 40.0])
    y, dx = np.empty_like(x), np.ones_like(x)
    compiled.activation(ctypes.c_size_t(len(x)), at(x), at(y), at(dx))
    np.testing.assert_allclose(y, formula.value(x, 0.0), rtol=1e-13)
    np.testing.assert_allclose(dx, formula.slope(x, 0.0), rtol=1e-13)
    assert np.ptp(y) > 100 and np.ptp(dx) > 0.9


def test_loss(compiled):
    formula = entries("tests/reference.py", "LOSSES", vars(reference))["log_cosh"]
    y, t = numbers(7, 3), numbers(7, 3)[::-1].copy()
    dy = np.empty_like(y)
    value = compiled.loss(ctypes.c_size_t(7), ctypes.c_size_t(3), at(y), at(t), at(dy))
    terms, gradient = formula.terms(y, t, None)
    assert value == pytest.approx(terms.sum(), rel=1e-13) and value > 1
    np.testing.assert_allclose(dy, gradient, rtol=1e-13)
    loss = python("cnet/losses.py", losses)["LogCosh"]()
    assert loss.name == "log_cosh" and loss.mean_over_columns and not loss.links


def test_metric(compiled):
    formula = entries("tests/reference.py", "METRICS", vars(reference))["max_error"]
    y, t = numbers(9), numbers(9)[::-1].copy()
    value = compiled.metric(ctypes.c_size_t(9), at(y), at(t))
    assert value == formula(y, t) > 1


def test_metric_of_a_whole_epoch():
    median = python("cnet/deviations.py", deviations)["median_absolute_error"]
    t, y = numbers(9, 2), numbers(2, 9).T
    errors = np.sort(np.abs(y - t), axis=None)
    assert median(t, y) == errors[8]
    w = np.array([9, 0, 1, 1, 1, 0, 1, 1, 2])
    again = np.sort(np.abs(y - t)[np.repeat(np.arange(9), w)], axis=None)
    assert median(t, y, sample_weight=w) == again[len(again) // 2 - 1] != errors[8]
    measuring = vars(measures) | {"deviations": SimpleNamespace(median_absolute_error=median)}
    metric = python("cnet/measures.py", SimpleNamespace(**measuring))["MedianAbsoluteError"]()
    assert metric(t, y, w) == median(t, y, sample_weight=w)
    assert metric.name == "median_absolute_error"


def test_update_rule(compiled):
    optimizer = python("cnet/optimizers.py", optimizers)["RAdam"](learning_rate=0.05, beta_2=0.95)
    assert optimizer.rule == "radam"
    settings = np.array(optimizer.settings())
    names = python("tests/reference_updates.py", reference_updates)
    radam = entries("tests/reference_updates.py", "UPDATES", names)["radam"]
    running, states, p = np.array([0.0, 1.0, 1.0]), np.zeros(2), np.array([0.5])
    expected, state, path = 0.5, dict.fromkeys("mv", 0.0), []
    h = reference_updates.RuleSettings(*settings)
    for step, g in enumerate(numbers(12).tolist(), 1):  # rectified from the sixth step on
        compiled.update(at(settings), at(running), ctypes.c_double(g), at(p), at(states))
        expected -= radam(g, step, state, h)
        path.append(p[0])
        assert p[0] == pytest.approx(expected, rel=1e-13)
    assert np.ptp(path) > 0.1


@pytest.mark.parametrize("fresh", [False, True])
def test_layer(compiled, fresh):
    forward = entries("tests/reference.py", "LAYERS", vars(reference))["gain"]
    x, w, dy, before = numbers(4, 5), numbers(5), numbers(5, 4).T.copy(), numbers(1, 5)[0]
    y, dx, dw = np.empty_like(x), np.empty_like(x), before.copy()
    size = map(ctypes.c_size_t, x.shape)
    compiled.layer(*size, *map(at, (x, w, y, dy, dw, dx)), ctypes.c_int(fresh))
    np.testing.assert_array_equal(y, forward(x, "linear", 0.0, w, None))
    np.testing.assert_array_equal(dx, dy * w)
    np.testing.assert_allclose(dw, (0 if fresh else before) + (dy * x).sum(axis=0), rtol=1e-13)


# ---- the Python of the recipes -------------------------------------------------------------------


def test_initializer():
    names = python("cnet/initializers.py", initializers)
    initializer = entries("cnet/initializers.py", "_NAMES", names)["rademacher"]
    values = initializer.sample((30, 40), 1, 0)
    assert values.shape == (30, 40) and set(np.abs(values).ravel()) == {0.05}
    assert abs(values.mean()) < 0.005
    assert np.array_equal(values, initializer.sample((30, 40), 1, 0))


def test_schedule():
    names = python("cnet/schedules.py", schedules)
    (block,) = (b for b in blocks() if b.anchor.startswith("BY_HAND = ["))
    ((schedule, rates),) = eval("[" + block.code + "]", names)
    assert schedule(np.arange(len(rates))).tolist() == rates


def test_callback():
    target_reached = python("cnet/callbacks.py", callbacks)["TargetReached"]
    x, y = numbers(40, 2), numbers(40)
    net = Sequential([Dense(1)], seed=1).compile("sgd", "mse")
    history = net.fit(x, y, epochs=50, verbose=0, callbacks=[target_reached("loss", 1e9)])
    assert len(history) == 1 and str(history.stopped).startswith("loss is ")


def test_data_set():
    make_rings = python("cnet/datasets/synthetic.py", datasets.synthetic)["make_rings"]
    x, y = make_rings(101, seed=3)
    assert x.shape == (101, 2) and y.dtype == np.int64 and np.bincount(y).tolist() == [50, 51]
    np.testing.assert_allclose(np.hypot(*x.T), np.where(y == 0, 1.0, 0.5))

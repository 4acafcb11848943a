"""Every setting of every public class refuses what it cannot mean, with an error that names it."""

import inspect
import re

import numpy as np
import pytest
from networks import Unchanged, refused, regressor

import cnet
from cnet import augment, callbacks, initializers
from cnet.description import Description
from cnet.hooks import Callback

# What classes cannot do without.
NEEDED = {
    "activation": "relu", "alpha": 1.0, "branches": [[], []], "categories": 3, "decay": 0.9,
    "delta": 0.1, "deviation": 0.1, "dim": 2, "embeddings": {0: cnet.Embedding(3, 2)}, "every": 2,
    "folder": "runs", "function": abs, "initial": 0.1, "layers": [cnet.Dense(3)],
    "learning_rate": 0.1, "milestones": (3, 5), "name": "elu", "padding": 2, "path": "run.csv",
    "peak": 0.1, "rate": 0.1, "sigma": 2.0, "start": 1, "steps": 10, "then": 0.1, "units": 3,
}  # fmt: skip
NO_NUMBER = ["1/255", True, [], {}, 1j, b"1", object(), np.ones(2), np.nan, -np.inf]
# By annotation. None is besides for whatever is not optional; -1 is for whatever counts.
NONSENSE = {
    "float": [*NO_NUMBER, 10**400],
    "RateLike": [*NO_NUMBER, 10**400],
    "int": [*NO_NUMBER, 1.5, 2.0, -1],
    "bool": ["no", 0, 1, [], np.ones(2), np.nan],
    "str": [True, 1, 0.5, [], {}, b"auto", object(), np.ones(2)],
    "str | os.PathLike[str]": [True, 1, 0.5, [], {}, b"runs", object()],
    "InitializerLike": [True, 0, 0.5, np.nan, {}, ["a"], [[1], [1, 2]], 1j, object(),
                        initializers.Normal],
    "RegularizerLike": [True, 0.01, [], {}, object(), cnet.regularizers.L2],
    "ConstraintLike": [True, 0.01, [], {}, object(), cnet.constraints.MaxNorm],
    "str | AnyActivation": [True, 0.01, [], {}, object(), np.ones(2)],
    "Branch": [True, 0, 0.5, {}, "relu", object(), np.ones(2)],
}  # fmt: skip
# Names of layers are looked at by the network, see `test_names_of_layers`.
ELSEWHERE = {"name"}


def public(base):
    for cls in base.__subclasses__():
        yield from public(cls)
        if cls.__module__.startswith("cnet.") and not cls.__name__.startswith("_"):
            yield cls


def settings():
    """Yield every public class, its settings, and what each is annotated as."""
    others = {"Compiled", "Normalization", "Scaling", "Parameter", "Row", "Given", "Lost",
              "Augmentation", "Counted", "CustomMetric", "Metric", "Score"}  # fmt: skip
    known = {*public(Description), *public(Callback)}
    for cls in sorted(known, key=lambda cls: (cls.__module__, cls.__name__)):
        if inspect.isabstract(cls) or cls.__name__ in others or cls.__module__ == "cnet.custom":
            continue
        for parameter in inspect.signature(cls).parameters.values():
            kind = str(parameter.annotation).strip("'")
            if kind.removesuffix(" | None") in NONSENSE and parameter.name not in ELSEWHERE:
                yield cls, parameter.name, kind


SETTINGS = list(settings())


def test_the_list_is_what_it_should_be():
    kinds = {cls.__name__ for cls, _, _ in SETTINGS}
    assert {"Adam", "LBFGS", "Huber", "Dense", "Dropout", "Residual", "Columns", "OneCycle", "EMA",
            "MaxNorm", "L1L2", "MinMax", "Brightness", "RandomAffine", "F1", "Group",
            "EarlyStopping", "Checkpoint", "CSVLog", "VarianceScaling"} <= kinds  # fmt: skip
    assert len(SETTINGS) > 200


@pytest.mark.parametrize(
    ("cls", "name", "kind"), SETTINGS, ids=[f"{c.__name__}.{n}" for c, n, _ in SETTINGS]
)
def test_nonsense_is_refused(cls, name, kind):
    given = {
        key: NEEDED[key]
        for key, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is parameter.empty
    }
    cls(**given)
    nonsense = list(NONSENSE[kind.removesuffix(" | None")])
    default = inspect.signature(cls).parameters[name].default
    may_be_none = kind.endswith("| None") or default is None or kind.startswith("str | AnyAct")
    for value in nonsense if may_be_none else [*nonsense, None]:
        with pytest.raises((TypeError, ValueError)) as caught:
            cls(**given | {name: value})
        words = (name, "layer 1 must be a layer")  # an item of a list is named by its place
        assert any(word in str(caught.value) for word in words), (value, str(caught.value))
        assert type(caught.value) in (TypeError, ValueError)


@pytest.mark.parametrize("name", [True, 1, 0.5, [], b"x", "", "a.b", "a/b"])
def test_names_of_layers(name):
    with refused(ValueError, "layer 1: a name is a string"):
        cnet.Sequential([cnet.Dense(3, name=name)])


def test_a_shortcut_is_a_layer_or_none():
    for empty in (None, [], ()):
        assert cnet.Residual([cnet.Dense(3)], shortcut=empty).shortcut == ()


def test_paths_are_kept(tmp_path):
    assert callbacks.CSVLog(tmp_path / "a.csv").path == str(tmp_path / "a.csv")
    assert callbacks.Checkpoint(str(tmp_path)).folder == tmp_path


# ---- a network's scale ---------------------------------------------------------------------------

SCALES = pytest.mark.parametrize(
    ("scale", "error", "words"),
    [
        (0, ValueError, ["scale must not be 0", "every input"]),
        (-0.0, ValueError, ["scale must not be 0"]),
        ("1/255", TypeError, ["scale must be a number", "'1/255'"]),
        (True, TypeError, ["scale must be a number", "True"]),
        (np.nan, ValueError, ["scale must be finite", "nan"]),
        (10**400, ValueError, ["scale must be finite"]),
    ],
    ids=lambda value: str(value)[:10],
)


@SCALES
def test_a_scale_that_means_nothing(scale, error, words):
    net = regressor().build(3)
    with refused(error, *words):
        cnet.Sequential([cnet.Dense(3)], scale=scale)
    with Unchanged(net), refused(error, *words):
        net.scale = scale
    assert net.scale == 1
    with refused(error, *words):
        augment.preview(np.ones((2, 3)), [], scale=scale)


@pytest.mark.parametrize("scale", [1e-320, -1e-39, 1e300])
def test_a_scale_that_the_dtype_does_not_have(scale):
    with refused(ValueError, "from 1.2e-38 to 3.4e.38 in size for float32", re.escape(repr(scale))):
        cnet.Sequential([cnet.Dense(3)], scale=scale)
    if abs(scale) > 1e-300:
        assert cnet.Sequential([cnet.Dense(3)], scale=scale, dtype="float64").scale == scale


def test_a_scale_that_is_written_is_used():
    x = np.random.default_rng(0).integers(0, 256, (5, 3), np.uint8)
    net = cnet.Sequential([cnet.Dense(3)], seed=1, dtype="float64").build(3)
    net.scale = 1 / 255
    assert net.scale == 1 / 255
    expected = x / 255 @ net.parameters["dense_1.weight"]
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-13, atol=1e-15)
    net.scale = None
    assert net.scale == 1


def test_one_of_scale_and_normalisation():
    net = cnet.Sequential([cnet.Dense(3)], normalize_inputs="standardize")
    with refused(ValueError, "scale=0.5 and normalize_inputs", "leave scale out"):
        net.scale = 0.5
    net.scale = 1.0
    with refused(ValueError, "scale=0.5 and normalize_inputs"):
        cnet.Sequential([cnet.Dense(3)], normalize_inputs="standardize", scale=0.5)


# ---- weights that are set ------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("place", [0, 3, 5])
def test_weights_that_are_not_finite(value, place):
    """1e300 is not, in float32; nothing of the arrays before it is set either."""
    layers = [cnet.Dense(4), cnet.BatchNormalization(), cnet.Dense(2)]
    net = cnet.Sequential(layers, seed=1, dtype="float32").build(3)
    names = [*net.parameters, *net.buffers]
    weights = [np.asarray(w + 1, np.float64) for w in net.get_weights()]
    last = tuple(size - 1 for size in weights[place].shape)
    weights[place][last] = value
    where = ", ".join(map(str, last))
    words = (f"{names[place]} must be finite in float32", rf"got {value:g}".replace("+", r"\+"))
    with Unchanged(net), refused(cnet.NonFiniteError, *words, rf"at \[{where}\]"):
        net.set_weights(weights)
    weights[place][last] = 3
    net.set_weights(weights)
    assert net.get_weights()[place][last] == 3


def test_float64_holds_more():
    net = cnet.Sequential([cnet.Dense(1)], seed=1, dtype="float64").build(1)
    net.set_weights([[[1e300]], [-1e300]])
    assert net.get_weights()[0] == 1e300


def test_first_values_that_the_dtype_cannot_hold():
    layer = cnet.Dense(3, kernel_initializer=initializers.Constant(1e39))
    with refused(cnet.NonFiniteError, "dense_1.weight must be finite in float32"):
        cnet.Sequential([layer], dtype="float32").build(2)
    assert cnet.Sequential([layer], dtype="float64").build(2).is_built

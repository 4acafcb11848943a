"""Every row of every list in csrc/ is known to the Python classes and to the tests' references."""

import pathlib
import re

import numpy as np
import pytest
import reference
import reference_augment
import reference_updates
import test_vmath

import cnet
from cnet import activations, losses, metrics, optimizers
from cnet._core import kernels, sources

SOURCES = pathlib.Path(__file__).parent.parent / "csrc"

UPDATES = reference_updates.UPDATES | reference_updates.WALKS
# Table, where its list is, the references.
TABLES = {
    "ACTIVATIONS": (kernels.ACTIVATIONS, "activations.h", reference.ACTIVATIONS),
    "LOSSES": (kernels.LOSSES, "losses.h", reference.LOSSES),
    "METRICS": (kernels.METRICS, "metrics.h", reference.METRICS),
    "OPTIMIZERS": (kernels.OPTIMIZERS, "optimizers.h", UPDATES),
    "AUGMENTATIONS": (kernels.AUGMENTATIONS, "augment.h", reference_augment.AUGMENTATIONS),
    "LAYERS": (kernels.LAYERS, "layers.h", reference.LAYERS),
    "SOURCES": (kernels.SOURCES, "sources.h", reference.SOURCES),
    "MATH": (kernels.MATH, "cnet.h", test_vmath.EXACT),
}
each_table = pytest.mark.parametrize("name", TABLES)


@each_table
def test_every_row_has_a_reference_and_every_reference_a_row(name):
    table, _, references = TABLES[name]
    assert table
    assert set(references) == set(table)


@each_table
def test_names_are_plain_words(name):
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", row) for row in TABLES[name][0])


@pytest.mark.skipif(not SOURCES.is_dir(), reason="the C sources are not here")
@each_table
def test_the_table_is_the_list_in_its_order(name):
    """The compiled table has each row of the header once: none is lost or there twice."""
    table, file, _ = TABLES[name]
    text = (SOURCES / file).read_text(encoding="utf-8")
    (rows,) = re.findall(rf"#define CNET_{name}\(X\)((?:.*\\\n)*.*\n)", text)
    assert re.findall(r"X\((\w+)", rows) == list(table)


def test_every_table_is_tested():
    tables = {name for name in vars(kernels) if name.isupper() and name != "PURPOSES"}
    assert tables == set(TABLES)


@pytest.mark.parametrize("names", [activations.names(), losses.names(), metrics.names(),
                                   optimizers.names(), cnet.initializers.names()])  # fmt: skip
def test_public_names_are_unique(names):
    assert len(set(names)) == len(names) > 0


# ---- activations -------------------------------------------------------------------------------


def test_activations_are_public():
    assert activations.names() == tuple(kernels.ACTIVATIONS)
    assert set(activations.RELU_FAMILY) <= set(kernels.ACTIVATIONS)


@pytest.mark.parametrize("name", kernels.ACTIVATIONS)
def test_activation_row(name):
    reads, alpha = kernels.ACTIVATIONS[name]
    assert reads in ("OUTPUT", "INPUT", "ROWS")
    assert (reads == "ROWS") == isinstance(reference.ACTIVATIONS[name], reference.RowActivation)
    f = activations.get(name)
    assert f.name == name and f.alpha == alpha and f.reads_input == (reads == "INPUT")
    x = np.array([[-1.5, 0.25, 2.5]])
    assert np.allclose(f(x), reference.activate(name, x, alpha or 0.0), rtol=1e-14, atol=1e-15)
    assert cnet.Dense(2, name).activation == f
    if alpha is None:
        with pytest.raises(ValueError, match="has no alpha"):
            activations.get(name, 0.5)


# ---- losses ------------------------------------------------------------------------------------


def test_every_loss_row_belongs_to_a_class():
    objects = [losses.get(name) for name in losses.names()]
    assert [loss.name for loss in objects] == list(losses.names())
    own = {loss.name for loss in objects}
    merged = {row for loss in objects for row in loss.links.values()}
    assert own | merged == set(kernels.LOSSES)
    assert not own & merged
    assert merged == {row for row in kernels.LOSSES if row.endswith("_logits")}


@pytest.mark.parametrize("name", losses.names())
def test_loss_class(name):
    loss = losses.get(name)
    for activation, row in loss.links.items():
        assert activation in kernels.ACTIVATIONS
        assert kernels.LOSSES[row] == kernels.LOSSES[name]
        assert loss.row(activation) == (row, True)
    assert loss.row("linear") == (name, False)
    assert loss.takes_labels == (reference.LOSSES[name].targets == "labels")
    assert (loss.target_columns(6) == 3) == (reference.LOSSES[name].targets == "half")
    assert getattr(losses, type(loss).__name__) is type(loss)


@pytest.mark.parametrize("name", kernels.LOSSES)
def test_loss_row(name):
    kind = {"labels": "LABELS", "half": "HALF"}.get(reference.LOSSES[name].targets, "MATRIX")
    assert kernels.LOSSES[name] == kind


# ---- the others --------------------------------------------------------------------------------


def test_metric_rows_are_public():
    assert set(kernels.METRICS) < set(metrics.names())
    assert set(kernels.METRICS.values()) <= {"MATRIX", "LABELS"}
    for name in kernels.METRICS:
        labels = kernels.METRICS[name] == "LABELS"
        loss = losses.get("sparse_categorical_crossentropy" if labels else "mse")
        assert metrics.get(name, loss, 3).row == name


def test_every_update_rule_belongs_to_an_optimizer():
    """Each is reached by some setting of some class, and those reach nothing else."""
    reached = set()
    for name in optimizers.names():
        cls = type(optimizers.get(name))
        reached.add(cls().rule)
        for settings in ({"momentum": 0.5}, {"momentum": 0.5, "nesterov": True},
                         {"centered": True}, {"centered": True, "momentum": 0.5}):  # fmt: skip
            if all(hasattr(cls(), field) for field in settings):
                reached.add(cls(**settings).rule)
    assert reached == set(kernels.OPTIMIZERS)


@pytest.mark.parametrize("name", optimizers.names())
def test_optimizer_settings_are_those_of_the_references(name):
    """The seven numbers are in the order that csrc/optimizers.h and reference_updates.py have."""
    optimizer = type(optimizers.get(name))(learning_rate=0.25, weight_decay=0.125)
    settings = reference_updates.RuleSettings(*optimizer.settings())
    assert settings.rate == 0.25 and {settings.l2, settings.decay} == {0.0, 0.125}
    assert (settings.decay == 0.125) == optimizer.decoupled_weight_decay
    for field, other in (("beta_2", "eta_plus"), ("epsilon", "min_step")):
        own = getattr(optimizer, field, getattr(optimizer, other, 0.0))
        assert getattr(settings, field) == own
    assert 0 <= kernels.OPTIMIZERS[optimizer.rule] <= 3


def test_every_layer_row_is_used():
    random = [cnet.Dropout(0.5), cnet.GaussianDropout(0.5), cnet.GaussianNoise(0.5)]
    table = cnet.Columns({0: cnet.Embedding(3, 2)})
    layers = [cnet.Flatten(), table, *random, cnet.Dense(2), cnet.Activation("relu")]
    layers += [cnet.LayerNormalization(), cnet.BatchNormalization()]
    layers += [cnet.Parallel([[], []], merge) for merge in ("add", "mul", "concat")]
    net = cnet.Sequential(layers).build((2, 2))
    kinds = {operation["kind"] for operation in net.built.program.operations}
    assert kinds == set(kernels.LAYERS)


def test_every_source_row_is_what_its_dtype_is_read_as():
    for name, dtype in reference.SOURCES.items():
        source = sources.Source(np.ones((2, 3), dtype))
        assert source.shape == (2, 3)
        kind = {"f": np.floating, "u": np.unsignedinteger, "i": np.signedinteger}[name[0]]
        assert np.issubdtype(dtype, kind) and np.dtype(dtype).itemsize * 8 == int(name[1:])

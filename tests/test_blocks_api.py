"""Residual blocks and branches as parts of a network: names, summary, errors, files, freezing."""

import copy
import pickle

import numpy as np
import pytest
from networks import Unchanged, refused
from networks_blocks import NETWORKS, D, P, R, network, rows_for

import cnet

each_network = pytest.mark.parametrize("name", NETWORKS)


def nested(**settings):
    """A network of named and numbered layers in blocks, built for four columns."""
    inner = R([D(4, "relu", name="first"), cnet.BatchNormalization(), D(4)])
    net = cnet.Sequential(
        [D(4, "tanh"), P([[inner, D(3)], [], D(2, "sigmoid")], "concat"), R(D(6), shortcut=D(6)),
         D(2)],
        **{"seed": 1, "dtype": "float64"} | settings,
    ).build(4)  # fmt: skip
    return net.compile("adam", "mse")


NAMES = [
    "dense_1", "parallel_1.residual_1.first", "parallel_1.residual_1.batch_normalization_1",
    "parallel_1.residual_1.dense_2", "parallel_1.dense_1", "parallel_1.dense_2",
    "residual_1.dense_1", "residual_1.dense_2", "dense_2",
]  # fmt: skip


# ---- names -------------------------------------------------------------------------------------


def test_names_of_parameters():
    net = nested()
    assert list(dict.fromkeys(name.rpartition(".")[0] for name in net.parameters)) == NAMES
    assert "parallel_1.residual_1.first.weight" in net.parameters
    assert "parallel_1.residual_1.batch_normalization_1.moving_mean" in net.buffers
    assert repr(net) == ("Sequential(dense_1, parallel_1, residual_1, dense_2; float64, seed=1)")


def test_names_in_a_block_are_its_own():
    """The same names outside, and in another block, are no clash; twice in one block is."""
    layers = [D(3, name="a"), R(D(3, name="a")), R(D(3, name="a"), name="b")]
    net = cnet.Sequential(layers).build(3)
    assert [*net.parameters][::2] == ["a.weight", "residual_1.a.weight", "b.a.weight"]
    with refused(ValueError, "layer 2: 'a' is taken"):
        R([D(3, name="a"), D(3, name="a")])
    with refused(ValueError, "'a' is taken"):
        P([D(3, name="a"), D(3, name="a")])
    with refused(ValueError, "'a' is taken"):
        R(D(3, name="a"), shortcut=D(3, name="a"))
    with refused(ValueError, "dots"):
        R(D(3, name="a.b"))


def test_a_number_of_units_given_inside_builds_the_network():
    assert cnet.Sequential([R([D(4, inputs=5), D(5)])]).is_built
    assert cnet.Sequential([P([[], D(4, inputs=5)], "concat")]).built.outputs == 9
    assert not cnet.Sequential([R([D(4), D(5, inputs=4)])]).is_built


def test_summary(capsys):
    nested().summary()
    lines = [line[:48].rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[3:24] == [
        "dense_1 (Dense)",
        "parallel_1 (Parallel)",
        "|- branch 1",
        "|  residual_1 (Residual)",
        "|  |  first (Dense)",
        "|  |  batch_normalization_1 (BatchNormalization)",
        "|  |  dense_2 (Dense)",
        "|  +- add to the input",
        "|  dense_1 (Dense)",
        "|- branch 2: the input",
        "|- branch 3",
        "|  dense_2 (Dense)",
        "+- concat",
        "residual_1 (Residual)",
        "|- layers",
        "|  dense_1 (Dense)",
        "|- shortcut",
        "|  dense_2 (Dense)",
        "+- add",
        "dense_2 (Dense)",
        "-" * 48,
    ]


def test_summary_has_the_shapes_of_merges_and_every_parameter_once(capsys):
    net = nested()
    net.summary()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = {" ".join(row[:-1]): row[-1] for row in rows}
    assert shown["+- concat"] == "9" and shown["+- add"] == "6"
    assert shown["| +- add to the input"] == "4"
    counts = [int(row[-3]) for row in rows if row[-1:] == ["B"] and row[-3].isdigit()]
    total = sum(values.size for values in net.parameters.values())
    assert sum(counts) == total and rows[-2][0] == str(total)


# ---- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: R([]), ["layers", "empty"]),
        (lambda: R(3), ["layers must be a sequence", "3"]),
        (lambda: R([3]), ["layer 1 must be a layer", "3"]),
        (lambda: R(D(3), shortcut=[D(3), "relu"]), ["shortcut, layer 2", "'relu'"]),
        (lambda: P(D(3)), ["branches must be a sequence", "Dense"]),
        (lambda: P([]), ["branches must be at least 2, got 0"]),
        (lambda: P([[D(3)]]), ["branches must be at least 2, got 1"]),
        (lambda: P([[], 3]), ["branch 2 must be a sequence", "3"]),
        (lambda: P([[], [[]]]), ["branch 2, layer 1 must be a layer"]),
        (lambda: P([[], []], "sum"), ["'sum'", "add", "concat", "mul"]),
        (lambda: P([[], []], merge=None), ["merge", "None"]),
        (lambda: R(D(3), 5, 7), ["positional"]),
    ],
)
def test_bad_settings(make, words):
    with refused((ValueError, TypeError), *words):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (R([D(8), D(6)]), 4, ["residual_1 adds", r"\(4,\)", r"\(6,\)", "4 units", r"Dense\(6\)"]),
        (R([D(6)], shortcut=D(5)), 4, ["its shortcut", r"\(5,\)", r"\(6,\)", r"Dense\(6\)"]),
        (R([cnet.Flatten(), D(6)]), (2, 3), ["residual_1 adds", r"\(2, 3\)", r"\(6,\)", "Flatten"]),
        (R(D(6)), (2, 3), ["residual_1.dense_1", "Flatten"]),
        (P([D(4), D(5), []]), 4, ["parallel_1", "merge='add'", "branch 2", r"\(5,\)", "concat"]),
        (P([[], [], D(5)], "mul"), 4, ["merge='mul'", "branch 3", r"\(5,\)"]),
        (P([cnet.Flatten(), []], "concat"), (2, 2), ["branch 2", r"\(2, 2\)", "Flatten"]),
        (P([D(3), [D(3), D(5, inputs=4)]]), 4, ["parallel_1.dense_3", "inputs=4", "gives 3"]),
    ],
)
def test_shapes_that_do_not_fit(layer, shape, words):
    with refused(cnet.ShapeError, *words):
        cnet.Sequential([layer]).build(shape)


def test_a_layer_that_is_used_twice():
    layer = D(3)
    for layers in ([layer, R(layer)], [R([D(3), layer]), R(layer)], [P([layer, layer])]):
        with refused(ValueError, "same object", "copy.copy"):
            cnet.Sequential(layers)
    block = R([layer, P([layer.replace(), []])])
    with refused(ValueError, "layer 2 is the same object as layer 1"):
        cnet.Sequential([block, block])
    net = cnet.Sequential([block, copy.copy(block), copy.copy(block)]).build(3)
    assert len(net.parameters) == 12
    assert copy.copy(block).layers[0] is not layer


def test_images_can_be_added_too():
    net = cnet.Sequential([R([cnet.Activation("tanh")]), cnet.Flatten()]).build((2, 3))
    x = np.random.default_rng(0).standard_normal((4, 2, 3)).astype("float32")
    np.testing.assert_allclose(net.predict(x), (x + np.tanh(x)).reshape(4, 6), rtol=1e-6)


def test_probabilities_after_a_block():
    net = cnet.Sequential([P([D(3, "softmax"), []])]).build(3)
    with refused(ValueError, "parallel_1 is linear", r"put a cnet.Activation\('sigmoid'\) behind"):
        net.compile("adam", "binary_crossentropy")
    net = cnet.Sequential([P([D(3), []]), cnet.Activation("softmax")]).build(3)
    x = np.eye(3)
    net.compile(cnet.Adam(0.05), "categorical_crossentropy")
    history = net.fit(x, x[::-1], epochs=100, verbose=0)
    assert history["loss"][-1] < 0.1 * history["loss"][0]


def test_where_a_value_is_not_finite():
    net = nested()
    net.parameters["parallel_1.dense_2.weight"][...] = 1e308
    names = {net.built.layer_of_slot(o["y"]) for o in net.built.program.operations}
    assert names >= {"parallel_1.residual_1.first (Dense, relu)", "parallel_1 (Parallel)",
                     "residual_1 (Residual)", "dense_2 (Dense, linear)"}  # fmt: skip
    net.parameters["residual_1.dense_1.weight"][...] = 1e308
    x, y = rows_for(net, 8)
    with refused(cnet.NonFiniteError, r"residual_1\.dense_1 \(Dense, linear\)"):
        net.fit(x, y, verbose=0)


def test_one_row_cannot_be_normalised_inside_of_a_block_either():
    net = nested()
    x, y = rows_for(net, 9)
    words = ("parallel_1.residual_1.batch_normalization_1", "batch_size=4")
    with Unchanged(net), refused(cnet.ShapeError, *words):
        net.fit(x, y, batch_size=4, verbose=0)


# ---- freezing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frozen", "names"),
    [
        (["residual_1"], NAMES[6:8]),
        (["parallel_1.residual_1"], NAMES[1:4]),
        (["parallel_1", "dense_2"], [*NAMES[1:6], "dense_2"]),
        (["parallel_1.residual_1.first"], NAMES[1:2]),
        ([], NAMES),
    ],
)
def test_freezing(frozen, names):
    net = nested()
    net.freeze(*frozen)
    assert net.frozen == tuple(names)
    before = {name: values.copy() for name, values in net.parameters.items()}
    net.fit(*rows_for(net, 32), epochs=2, batch_size=16, verbose=0)
    for name, values in net.parameters.items():
        stayed = np.array_equal(values, before[name])
        assert stayed == (name.rpartition(".")[0] in names), name


def test_unfreezing_a_part():
    net = nested()
    net.freeze()
    net.unfreeze("parallel_1.residual_1", "dense_1")
    assert net.frozen == tuple(NAMES[4:])
    with refused(ValueError, "'parallel_1.first'", "parallel_1.residual_1.first", "residual_1"):
        net.freeze("parallel_1.first")
    with refused(ValueError, "'parallel'"):
        net.unfreeze("parallel")
    assert net.frozen == tuple(NAMES[4:])


# ---- files and copies ----------------------------------------------------------------------------


@each_network
def test_files_and_copies(name, tmp_path):
    """What comes back predicts the same bits, and goes on training to the same bits."""
    net = network(name)
    net.compile(cnet.Adam(0.01), "mse")
    x, y = rows_for(net, 24)
    net.fit(x, y, batch_size=8, epochs=2, verbose=0)
    path = tmp_path / "net.safetensors"
    cnet.save(net, path)
    others = [cnet.load(path), copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    expected = net.predict(x)
    assert all(np.array_equal(other.predict(x), expected) for other in others)
    net.fit(x, y, batch_size=8, epochs=2, verbose=0)
    for other in others:
        assert repr(other.layers) == repr(net.layers)
        other.fit(x, y, batch_size=8, epochs=2, verbose=0)
        assert all(np.array_equal(a, b) for a, b in
                   zip(other.get_weights(), net.get_weights(), strict=True))  # fmt: skip


def test_frozen_parts_are_kept(tmp_path):
    net = nested()
    net.freeze("parallel_1.residual_1")
    cnet.save(net, tmp_path / "net")
    assert cnet.load(tmp_path / "net").frozen == copy.deepcopy(net).frozen == tuple(NAMES[1:4])


def test_before_building():
    net = cnet.Sequential([R([D(3), D(4)]), D(2)], seed=1)
    net.freeze("residual_1")
    other = pickle.loads(pickle.dumps(net))
    assert other.frozen == ("residual_1.dense_1", "residual_1.dense_2")
    assert np.array_equal(other.build(4).get_weights()[0], net.build(4).get_weights()[0])


def test_penalties_inside_of_a_block_count():
    block = R(D(3, kernel_regularizer=cnet.regularizers.L2(0.5)))
    net = cnet.Sequential([block], seed=1, dtype="float64").build(3)
    w = net.parameters["residual_1.dense_1.weight"]
    assert net.built.core.penalty() == pytest.approx(0.5 * np.sum(w**2))

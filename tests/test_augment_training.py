"""What `fit` trains on when it augments: what `preview` shows, by any number of threads."""

import copy

import numpy as np
import pytest
from networks import Unchanged, classes, refused, regressor, snapshot

import cnet
from cnet import augment

SHAPE = (6, 7)
SOME = [
    augment.RandomFlip(),
    augment.RandomAffine(15, 1, 0.1, 5),
    augment.Elastic(3.0, 2.0, probability=0.5),
    augment.RandomErasing(),
    augment.Contrast(0.2),
    augment.Noise(0.1),
    augment.SwapFeatures(0.1),
]


def images(n, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype(np.uint8)


class Mirror:
    """A network whose outputs are its inputs and which learns nothing; keeps what it has seen."""

    def __init__(self, shape=SHAPE, dtype="float64", loss="mse"):
        self.width, self.seen, self.targets = int(np.prod(shape)), None, None
        layers = [cnet.Flatten(), cnet.Dense(self.width)]
        self.net = cnet.Sequential(layers, seed=11, dtype=dtype, scale=1 / 255).build(shape)
        self.net.set_weights([np.eye(self.width), np.zeros(self.width)])
        self.net.compile(cnet.SGD(learning_rate=0.0), loss, [self.keep])

    def keep(self, y_true, y_pred):
        self.seen = np.array(y_pred)
        return 0.0

    def fit(self, x, given, y=None, **settings):
        y = np.zeros((len(x), self.width)) if y is None else y
        settings = {"batch_size": len(x), "shuffle": False, "verbose": 0} | settings
        return self.net.fit(x, y, augment=given, **settings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [5, 1500])  # 1,500 rows pass in two pieces
def test_preview_shows_what_fit_sees(rows, dtype):
    x, mirror = images(rows), Mirror(dtype=dtype)
    given = [*SOME, augment.Mixup(1.0), augment.Brightness(0.1)]
    mirror.fit(x, given, epochs=3)
    again = augment.preview(x, given, seed=11, step=2, scale=1 / 255, dtype=dtype)
    assert np.array_equal(mirror.seen, again.reshape(rows, -1))
    other = augment.preview(x, given, seed=11, step=1, scale=1 / 255, dtype=dtype)
    assert not np.array_equal(mirror.seen, other.reshape(rows, -1))


def test_batches_are_those_of_the_order():
    x, mirror = images(10), Mirror()
    given = [augment.RandomCrop(2), augment.SwapFeatures(0.3), augment.CutMix()]
    mirror.fit(x, given, batch_size=4, shuffle=True)
    order = cnet._core.kernels.random_order(11, "order", 0, 10)
    for step, first in enumerate((0, 4, 8)):  # the last batch has two rows
        rows = order[first : first + 4]
        shown = augment.preview(x[rows], given, seed=11, step=step, scale=1 / 255, dtype="float64")
        assert np.array_equal(mirror.seen[rows], shown.reshape(len(rows), -1))


def test_threads_change_no_bit():
    x, found = images(400, (16, 15)), []
    for threads in (1, 2, 3):
        mirror = Mirror((16, 15), "float32")
        mirror.fit(x, [*SOME, augment.CutMix()], threads=threads)
        found.append(mirror.seen)
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
    shown = augment.preview(x, [*SOME, augment.CutMix()], seed=11, scale=1 / 255)
    assert np.array_equal(found[0], shown.reshape(400, -1))


def test_the_data_are_left_alone():
    x, y = images(20), np.ones((20, 42))
    x.flags.writeable = y.flags.writeable = False
    before = x.copy()
    Mirror().fit(x, [*SOME, augment.Mixup(2.0)], y)
    assert np.array_equal(x, before) and np.all(y == 1)


@pytest.mark.parametrize("mixture", [augment.Mixup(1.0), augment.CutMix(probability=0.7)])
@pytest.mark.parametrize("rows", [12, 1100])
def test_targets_are_mixed(mixture, rows):
    x, y, mirror = images(rows), np.random.default_rng(1).normal(size=(rows, 42)), Mirror()
    history = mirror.fit(x, [augment.RandomCrop(1), mixture], y)
    shown = augment.preview(
        x, [augment.RandomCrop(1), mixture], y, seed=11, scale=1 / 255, dtype="float64"
    )
    expected = np.mean((shown[0].reshape(rows, -1) - shown[1]) ** 2)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("activation", ["softmax", "linear"])  # merged with the loss, and not
def test_class_indices_are_mixed_as_one_hot_rows(activation):
    x, labels = classes(50, 6, 4)
    name = "categorical_crossentropy"
    settings = {"from_logits": activation == "linear", "label_smoothing": 0.1}
    hot, given, found = np.eye(4)[labels], [augment.Noise(0.1), augment.Mixup(0.8)], []
    for kind, y in ((f"sparse_{name}", labels), (name, hot)):
        layers = [cnet.Dense(8, "tanh"), cnet.Dense(4, activation)]
        net = cnet.Sequential(layers, seed=2, dtype="float64").build(6)
        loss = getattr(cnet.losses, "".join(w.title() for w in kind.split("_")))(**settings)
        net.compile("adam", loss, ["accuracy"])
        start = copy.deepcopy(net)
        history = net.fit(x, y, augment=given, batch_size=16, epochs=3, verbose=0)
        found.append((history["loss"], history["accuracy"], net.get_weights()))
    assert found[0][0] == found[1][0] and found[0][1] == found[1][1]
    assert all(np.array_equal(a, b) for a, b in zip(found[0][2], found[1][2], strict=True))
    # And that is the loss of the mixed rows against the mixed targets.
    history = start.fit(x, hot, augment=given, batch_size=50, shuffle=False, verbose=0)
    shown, mixed = augment.preview(x, given, hot, seed=2, dtype="float64")
    fresh = cnet.Sequential(layers_like(start), seed=2, dtype="float64").build(6)
    expected = cnet.losses.CategoricalCrossentropy(**settings)(fresh.predict(shown), mixed)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-12)
    hits = fresh.predict(shown).argmax(axis=1) == mixed.argmax(axis=1)
    assert history["accuracy"][0] == pytest.approx(hits.mean(), rel=1e-12)


def layers_like(net):
    return [cnet.Dense(8, "tanh"), cnet.Dense(4, net.built.last_activation)]


def test_validation_and_evaluation_are_not_augmented():
    x, y = images(30), np.random.default_rng(2).normal(size=(30, 42))
    mirror = Mirror()
    history = mirror.fit(x, [augment.Noise(3.0), augment.Mixup(5.0)], y, validation_data=(x, y))
    plain = np.mean((x.reshape(30, -1) / 255 - y) ** 2)
    assert history["val_loss"][0] == pytest.approx(plain, rel=1e-12)
    assert mirror.net.evaluate(x, y)["loss"] == pytest.approx(plain, rel=1e-12)
    assert history["loss"][0] > 2 * plain


def test_weights_stay_those_of_the_row():
    x, y, weights = images(30), np.zeros((30, 42)), np.arange(30.0)
    history = Mirror().fit(x, [augment.Mixup(1.0)], y, sample_weight=weights)
    shown = augment.preview(x, [augment.Mixup(1.0)], seed=11, scale=1 / 255, dtype="float64")
    expected = np.mean(weights * np.mean(shown.reshape(30, -1) ** 2, axis=1))
    assert history["loss"][0] == pytest.approx(expected, rel=1e-12)


def test_a_run_that_is_saved_and_continued(tmp_path):
    x, y = images(40), np.random.default_rng(3).normal(size=(40, 2))

    def fresh():
        layers = [cnet.Flatten(), cnet.Dense(5, "tanh"), cnet.Dense(2)]
        return cnet.Sequential(layers, seed=4, scale=1 / 255).build(SHAPE).compile("adam", "mse")

    given = {"augment": [*SOME, augment.Mixup()], "batch_size": 16, "verbose": 0}
    whole, part = fresh(), fresh()
    whole.fit(x, y, epochs=4, **given)
    part.fit(x, y, epochs=2, **given)
    cnet.save(part, tmp_path / "half.safetensors")
    other = cnet.load(tmp_path / "half.safetensors")
    other.fit(x, y, epochs=2, **given)
    assert snapshot(other) == snapshot(whole)
    assert snapshot(part) != snapshot(whole)


def test_parts_of_a_stream_are_augmented_as_batches():
    x, y = images(24), np.random.default_rng(3).normal(size=(24, 42))
    given = {"augment": [*SOME, augment.Mixup()], "verbose": 0, "shuffle": False}
    one, two = (Mirror().net.compile(cnet.SGD(learning_rate=0.1), "mse") for _ in range(2))
    one.fit(x, y, batch_size=8, **given)
    two.fit([(x[i : i + 8], y[i : i + 8]) for i in (0, 8, 16)], **given)
    assert snapshot(one)["steps"] == snapshot(two)["steps"]
    assert all(
        np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True)
    )


def test_a_run_is_resumed_with_the_same_augmentations(tmp_path):
    x, y = images(24), np.random.default_rng(3).normal(size=(24, 42))
    settings = {"batch_size": 8, "verbose": 0, "resume": tmp_path}

    def net():
        made = Mirror().net.compile(cnet.SGD(learning_rate=0.1), "mse")
        return made, {"callbacks": [cnet.callbacks.Checkpoint(tmp_path)], **settings}

    first, given = net()
    first.fit(x, y, epochs=2, augment=[augment.RandomCrop(2)], **given)
    other, given = net()
    with Unchanged(other), refused(ValueError, r"augment\[0\]", "padding=3", "padding=2"):
        other.fit(x, y, epochs=3, augment=[augment.RandomCrop(3)], **given)
    other.fit(x, y, epochs=3, augment=[augment.RandomCrop(2)], **given)
    whole, given = net()
    del given["resume"], given["callbacks"]
    whole.fit(x, y, epochs=3, augment=[augment.RandomCrop(2)], **given)
    assert all(
        np.array_equal(a, b) for a, b in zip(other.get_weights(), whole.get_weights(), strict=True)
    )


def test_a_flat_data_set_for_a_network_of_images():
    x, one, two = images(20), Mirror(), Mirror()
    one.fit(x, SOME)
    two.fit(x.reshape(20, -1), SOME)
    assert np.array_equal(one.seen, two.seen)


def test_one_augmentation_needs_no_list():
    x, one, two = images(20), Mirror(), Mirror()
    one.fit(x, augment.RandomCrop(2))
    two.fit(x, [augment.RandomCrop(2)])
    assert np.array_equal(one.seen, two.seen)


# ---- errors --------------------------------------------------------------------------------------


def test_a_network_of_flat_rows_takes_no_images():
    net = regressor().build(784)
    x, y = np.zeros((4, 784)), np.zeros((4, 2))
    with Unchanged(net), refused(cnet.ShapeError, r"augment\[0\]", "RandomFlip", "784", "Flatten"):
        net.fit(x, y, augment=[augment.RandomFlip()], verbose=0)
    net.fit(x, y, augment=[augment.Noise(0.1)], verbose=0)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("flip", TypeError, ["augment", "RandomFlip"]),
        (["flip"], TypeError, [r"augment\[0\]", "'flip'"]),
        ([augment.Noise], TypeError, [r"augment\[0\]", "object"]),
        ([augment.Mixup(), augment.Noise(1.0), augment.Mixup()], ValueError, ["one Mixup"]),
    ],
)
def test_lists_that_are_refused(given, error, words):
    net = regressor().build(3)
    with Unchanged(net), refused(error, *words):
        net.fit(np.zeros((4, 3)), np.zeros((4, 2)), augment=given, verbose=0)


def test_hinge_has_no_mixed_targets():
    net = regressor(loss="hinge").build(3)
    with Unchanged(net), refused(ValueError, "Mixup", "hinge", "binary_crossentropy"):
        net.fit(np.zeros((4, 3)), np.ones((4, 2)), augment=[augment.Mixup()], verbose=0)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: augment.RandomAffine(rotation=-1), ValueError, ["rotation", "-1"]),
        (lambda: augment.RandomAffine(translation=2.5), ValueError, ["2.5", "integer"]),
        (lambda: augment.RandomAffine(translation=(1, 2, 3)), ValueError, ["vertical, horizontal"]),
        (lambda: augment.RandomAffine(zoom=1), ValueError, ["zoom", "below 1"]),
        (lambda: augment.RandomAffine(shear=90), ValueError, ["shear", "below 90"]),
        (lambda: augment.RandomAffine(fill="black"), ValueError, ["fill", "'edge'", "'black'"]),
        (lambda: augment.RandomCrop(1.5), TypeError, ["padding", "integer"]),
        (lambda: augment.Elastic(1, 0), ValueError, ["sigma", "above 0"]),
        (lambda: augment.RandomErasing(area=0.2), TypeError, ["area", "pair"]),
        (lambda: augment.RandomErasing(area=(0.5, 0.2)), ValueError, ["area", "low <= high"]),
        (lambda: augment.Brightness(-1), ValueError, ["delta"]),
        (lambda: augment.Contrast("much"), TypeError, ["delta", "number"]),
        (lambda: augment.Noise(np.nan), ValueError, ["deviation", "finite"]),
        (lambda: augment.SwapFeatures(1.1), ValueError, ["rate", "at most 1"]),
        (lambda: augment.Mixup(0), ValueError, ["alpha"]),
        (lambda: augment.CutMix(probability=2), ValueError, ["probability", "at most 1"]),
        (lambda: augment.RandomFlip(horizontal="yes"), TypeError, ["horizontal"]),
    ],
)
def test_settings_that_are_refused(make, error, words):
    with refused(error, *words):
        make()


def test_previews_that_are_refused():
    x = np.zeros((3, 4, 5))
    with refused(cnet.ShapeError, "y", r"\(3, K\)", "one-hot"):
        augment.preview(x, [augment.Mixup()], [0, 1, 2])
    with refused(cnet.NonFiniteError, "x", "row 0"):
        augment.preview(x + np.nan, [augment.Noise(1.0)])
    with refused(ValueError, "dtype", "'float16'"):
        augment.preview(x, [augment.Noise(1.0)], dtype="float16")

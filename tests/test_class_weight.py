"""class_weight: another way to write sample_weight, to the bit."""

import numpy as np
import pandas as pd
import pytest
from networks import classes, classifier, losses_of, refused, regression, regressor, rows, snapshot

import cnet

WEIGHTS = {0: 1.0, 2: 2.5, np.int64(1): 0.3}
FIT = {"batch_size": 16, "epochs": 2, "verbose": 0}


def case(kind):
    """Return a network's maker, x, targets and the class of every row."""
    x, labels = classes()
    if kind == "labels":
        return classifier, x, labels, labels
    if kind == "one-hot":
        layers = [cnet.Dense(8, "relu"), cnet.Dense(3, "softmax")]
        loss, target = "categorical_crossentropy", np.eye(3)[labels]
    else:
        layers = [cnet.Dense(8, "relu"), cnet.Dense(1, "sigmoid")]
        loss, labels = "binary_crossentropy", (labels == 1).astype(np.int64)
        target = labels.astype(float) if kind == "column" else labels.reshape(-1, 1)

    def make():
        net = cnet.Sequential(layers, seed=7, dtype="float64")
        return net.compile(cnet.Adam(learning_rate=0.02), loss, ["accuracy"])

    return make, x, target, labels


def balanced(labels):
    """The definition in scikit-learn's documentation, a class at a time."""
    found = sorted(set(labels.tolist()))
    return {c: len(labels) / (len(found) * int((labels == c).sum())) for c in found}


def weights_of(table, labels):
    return np.array([{int(k): v for k, v in table.items()}.get(int(c), 1.0) for c in labels])


def rows_of(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


@pytest.mark.parametrize("kind", ["labels", "one-hot", "column", "matrix"])
@pytest.mark.parametrize("given", [WEIGHTS, "balanced"], ids=["dict", "balanced"])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_a_sample_weight(kind, given, weighted):
    make, x, y, labels = case(kind)
    if given is WEIGHTS and kind in ("column", "matrix"):
        given = {1: 4.0}  # class 0 has 1
    own = np.abs(rows(60, 1, seed=9)[:, 0]) if weighted else None
    table = balanced(labels[:40]) if given == "balanced" else given
    weights = weights_of(table, labels)
    weights = weights if own is None else weights * own
    (x1, x2), (y1, y2), (w1, w2) = (np.split(a, [40]) for a in (x, y, weights))
    o1, o2 = (None, None) if own is None else np.split(own, [40])

    net, explicit = make(), make()
    check = (x2, y2) if own is None else (x2, y2, o2)
    one = net.fit(
        x1, y1, sample_weight=o1, class_weight=given, validation_data=check, **FIT
    )  # fmt: skip
    two = explicit.fit(x1, y1, sample_weight=w1, validation_data=(x2, y2, w2), **FIT)
    assert rows_of(one) == rows_of(two) and "val_accuracy" in one
    assert snapshot(net) == snapshot(explicit)
    unweighted = make().fit(x1, y1, sample_weight=o1, **FIT)
    assert losses_of(unweighted) != losses_of(one)

    step = net.train_on_batch(x1, y1, o1, class_weight=given)
    assert step == explicit.train_on_batch(x1, y1, w1)
    assert snapshot(net) == snapshot(explicit)


def test_metrics_of_a_whole_epoch_are_weighted_too():
    x, labels = classes()
    nets = [classifier().compile("adam", "sparse_categorical_crossentropy", ["f1"]) for _ in "ab"]
    weights = weights_of(WEIGHTS, labels)
    one = nets[0].fit(x, labels, class_weight=WEIGHTS, validation_data=(x, labels), **FIT)
    two = nets[1].fit(x, labels, sample_weight=weights, validation_data=(x, labels, weights), **FIT)
    assert rows_of(one) == rows_of(two)


def test_validation_split_takes_the_weights_of_the_training_rows():
    x, labels = classes()
    net, explicit = classifier(), classifier()
    one = net.fit(x, labels, class_weight="balanced", validation_split=0.5, **FIT)
    weights = weights_of(balanced(labels[:30]), labels)
    two = explicit.fit(x, labels, sample_weight=weights, validation_split=0.5, **FIT)
    assert rows_of(one) == rows_of(two)


def test_balanced_makes_classes_count_the_same():
    x = rows(12, 4)
    labels = np.array([0] * 8 + [2] * 4)  # nobody is in class 1
    net, explicit = classifier(), classifier()
    one = net.fit(x, labels, class_weight="balanced", **FIT)
    two = explicit.fit(x, labels, sample_weight=[0.75] * 8 + [1.5] * 4, **FIT)
    assert rows_of(one) == rows_of(two)
    # One that only validation has is not left out.
    check = (x, np.ones(12, np.int64))
    assert net.fit(x, labels, class_weight="balanced", validation_data=check, **FIT)["val_loss"][
        -1
    ] == pytest.approx(net.evaluate(*check)["loss"], rel=1e-12)


def test_against_scikit_learn():
    """`compute_class_weight("balanced", classes=[0, 1, 2], y=[0, 0, 0, 0, 1, 1, 2])`, 1.9."""
    from cnet.data import as_class_weights

    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    expected = [0.5833333333333334, 1.1666666666666667, 2.3333333333333335]
    assert as_class_weights("balanced", labels, 3).tolist() == expected


def test_data_frames():
    make, x, y, _ = case("one-hot")
    net, other = make(), make()
    one = net.fit(pd.DataFrame(x), pd.DataFrame(y), class_weight=WEIGHTS, **FIT)
    assert rows_of(one) == rows_of(other.fit(x, y, class_weight=WEIGHTS, **FIT))


SOFT = np.full((60, 3), 1 / 3)


@pytest.mark.parametrize(
    ("kind", "change", "given", "error", "words"),
    [
        ("labels", None, {3: 1.0}, ValueError, ["class_weight", "class 3", "0..2"]),
        ("labels", None, {-1: 1.0}, ValueError, ["class -1", "0..2"]),
        ("labels", None, {"cat": 1.0}, ValueError, ["class 'cat'", "0..2"]),
        ("labels", None, {True: 1.0}, ValueError, ["class True"]),
        ("labels", None, {1.0: 1.0}, ValueError, ["class 1.0"]),
        ("column", None, {2: 1.0}, ValueError, ["class 2", "0..1"]),
        ("labels", None, {0: -1.0}, ValueError, [r"class_weight\[0\]", "at least 0"]),
        ("labels", None, {0: np.nan}, ValueError, [r"class_weight\[0\]", "finite"]),
        ("labels", None, {0: np.inf}, ValueError, [r"class_weight\[0\]", "finite"]),
        ("labels", None, {0: "1"}, TypeError, [r"class_weight\[0\]", "number"]),
        ("labels", None, "even", TypeError, ["class_weight", "'balanced'", "'even'"]),
        ("labels", None, [1.0, 2.0, 3.0], TypeError, ["class_weight", "dict"]),
        ("one-hot", SOFT, WEIGHTS, ValueError, ["row 0", "single 1", "sample_weight"]),
        ("one-hot", np.ones((60, 3)), WEIGHTS, ValueError, ["row 0", "single 1"]),
        ("one-hot", np.zeros((60, 3)), "balanced", ValueError, ["row 0", "single 1"]),
        ("column", np.full(60, 0.5), "balanced", ValueError, ["row 0", "0 or 1"]),
    ],
)
def test_what_is_refused(kind, change, given, error, words):
    make, x, y, _ = case(kind)
    net = make()
    y = y if change is None else change
    for call in (net.fit, net.train_on_batch):
        with refused(error, *words):
            call(x, y, class_weight=given)
        assert not net.is_built


def test_losses_without_classes_refuse_it():
    net = regressor()
    with refused(ValueError, "class_weight", "'mse'", "sample_weight"):
        net.fit(*regression(), class_weight="balanced", **FIT)
    several = cnet.Sequential([cnet.Dense(3, "sigmoid")]).compile("sgd", "binary_crossentropy")
    x, labels = classes()
    with refused(ValueError, "class_weight", "3 columns", "sample_weight"):
        several.fit(x, np.eye(3)[labels], class_weight="balanced", **FIT)


def test_products_that_overflow_are_refused():
    x, labels = classes()
    with refused(cnet.NonFiniteError, "sample_weight", "class_weight"):
        classifier().fit(
            x, labels, sample_weight=np.full(60, 1e200), class_weight={0: 1e200}, **FIT
        )

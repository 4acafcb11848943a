"""Data in every form that is accepted: the same bits as from a plain copy of it."""

import sys

import numpy as np
import pytest
from networks import classes, classifier, regression, regressor, rows, snapshot

import cnet

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
NUMBERS = [
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
]


def whole_numbers(dtype, n: int = 40, columns: int = 4) -> np.ndarray:
    """Return whole numbers that dtype and float32 hold exactly, up to the largest of 8 bits."""
    low = 0 if np.dtype(dtype).kind in "ub" else -128
    high = 1 if dtype == "bool" else 127 if dtype == "int8" else 255 if low == 0 else 128
    values = np.random.default_rng(0).integers(low, high + 1, (n, columns))
    values[0, 0], values[1, 0] = low, high
    return values.astype(dtype)


def assert_same_training(dtype, x, y, plain_x, plain_y, build=None, **settings):
    """Train once from data as it is given and once from a plain copy; compare everything."""
    given, plain = (regressor("adam", dtype=dtype, **settings) for _ in range(2))
    arrays = [(given, x, y), (plain, plain_x, plain_y)]
    for net, a, b in arrays:
        net.fit(a, b, epochs=2, batch_size=16, validation_split=0.25, verbose=0)
        net.fit(a, b, epochs=1, batch_size=16, shuffle=False, verbose=0)
        net.train_on_batch(a, b)
    assert snapshot(given) == snapshot(plain)
    assert given.evaluate(x, y) == plain.evaluate(plain_x, plain_y)
    assert given.predict(x).tobytes() == plain.predict(plain_x).tobytes()
    assert given.forward(x).tobytes() == plain.forward(plain_x).tobytes()


# ---- types of elements ---------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("given", NUMBERS)
def test_rows_of_every_type(dtype, given):
    x, y = whole_numbers(given), regression()[1]
    assert_same_training(dtype, x, y, x.astype(dtype), y.astype(dtype))


@each_dtype
@pytest.mark.parametrize("given", NUMBERS)
def test_targets_of_every_type(dtype, given):
    x, y = regression()[0], whole_numbers(given, columns=2)
    assert_same_training(dtype, x, y, x.astype(dtype), y.astype(dtype))


@each_dtype
@pytest.mark.parametrize("given", NUMBERS)
def test_weights_of_every_type(dtype, given):
    x, y = regression()
    weights = np.abs(whole_numbers(given, 40, 1)[:, 0] / 2).astype(given)
    nets = [regressor(dtype=dtype) for _ in range(2)]
    nets[0].fit(x, y, sample_weight=weights, verbose=0)
    nets[1].fit(x, y, sample_weight=weights.astype(dtype), verbose=0)
    assert snapshot(nets[0]) == snapshot(nets[1])


@each_dtype
@pytest.mark.parametrize("given", [d for d in NUMBERS if "float" not in d])
def test_class_indices_of_every_integer_type(dtype, given):
    x, labels = classes()
    labels = labels % 2 if given == "bool" else labels
    nets = [classifier(dtype=dtype) for _ in range(2)]
    histories = [
        net.fit(x, y, epochs=2, verbose=0)
        for net, y in zip(nets, (labels.astype(given), labels), strict=True)
    ]
    assert histories[0]["accuracy"] == histories[1]["accuracy"]
    assert snapshot(nets[0]) == snapshot(nets[1])


@each_dtype
def test_numbers_beyond_the_networks_precision_are_rounded_once(dtype):
    x = np.array([[2**53 + 1], [2**24 + 1], [-(2**62) - 1]], np.int64)
    net = cnet.Sequential([cnet.Activation("linear")], dtype=dtype).build(1)
    assert net.predict(x).tobytes() == x.astype(dtype).tobytes()
    thirds = np.array([[1 / 3]])
    assert net.predict(thirds).tobytes() == thirds.astype(dtype).tobytes()


@each_dtype
def test_every_half_precision_number_is_read_exactly(dtype):
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 1)
    net = cnet.Sequential([cnet.Activation("linear")], dtype=dtype).build(1)
    assert net.predict(halves).tobytes() == halves.astype(dtype).tobytes()


@each_dtype
def test_images_of_bytes_are_scaled_while_they_are_read(dtype):
    images = whole_numbers("uint8", 40, 28 * 28).reshape(40, 28, 28)
    y = regression()[1]
    given, plain = (
        cnet.Sequential([cnet.Flatten(), cnet.Dense(2)], seed=1, dtype=dtype, scale=scale)
        for scale in (1 / 255, None)
    )
    floats = (images.astype(dtype) * np.asarray(1 / 255, dtype)).reshape(40, 28 * 28)
    assert 0.9 < floats.max() <= 1
    for net, x in ((given, images), (plain.build((28, 28)), floats)):
        net.compile("adam", "mse")
        net.fit(x, y, epochs=2, batch_size=16, verbose=0)
    assert snapshot(given) == snapshot(plain)
    assert given.evaluate(images, y) == plain.evaluate(floats, y)
    assert given.predict(images).tobytes() == plain.predict(floats).tobytes()
    assert given.forward(images).tobytes() == plain.forward(floats).tobytes()


# ---- where and how they lie ----------------------------------------------------------------------


def read_only(values):
    copy = values.copy()
    copy.flags.writeable = False
    return copy


def unaligned(values):
    raw = np.zeros(values.nbytes + 1, np.uint8)
    view = raw[1:].view(values.dtype).reshape(values.shape)
    view[:] = values
    assert not view.flags.aligned or values.itemsize == 1
    return view


def one_of_a_structure(values):
    table = np.zeros(len(values), [("other", "u1"), ("value", values.dtype, values.shape[1:])])
    table["value"] = values
    return table["value"]


LAYOUTS = {
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every other column": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "part of wider rows": lambda a: np.concatenate([a, a + 1], axis=-1)[..., : a.shape[-1]],
    "reversed rows": lambda a: a[::-1].copy()[::-1],
    "reversed columns": lambda a: a[..., ::-1].copy()[..., ::-1],
    "transposed twice": lambda a: a.T.copy().T,
    "unaligned": unaligned,
    "field of a structure": one_of_a_structure,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "subclass": lambda a: a.view(np.recarray),
    "buffer": memoryview,
    "lists": lambda a: a.tolist(),
    "list of rows": list,
    "tuples": lambda a: tuple(map(tuple, a)),
}
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@each_layout
@pytest.mark.parametrize("given", ["float32", "float64", "int16"])
@each_dtype
def test_arrays_that_lie_otherwise(dtype, given, layout):
    x, y = whole_numbers(given), whole_numbers(given, columns=2)
    plain_x, plain_y = x.astype(dtype), y.astype(dtype)
    assert_same_training(dtype, layout(x), layout(y), plain_x, plain_y)
    assert np.array_equal(x.astype(dtype), plain_x)  # and the data is as it was


@each_layout
def test_images_that_lie_otherwise(layout):
    images, y = whole_numbers("uint8", 40, 12).reshape(40, 3, 4), regression()[1]
    nets = [
        cnet.Sequential([cnet.Flatten(), cnet.Dense(2)], seed=1).compile("adam", "mse")
        for _ in range(2)
    ]
    nets[0].fit(layout(images), y, verbose=0)
    nets[1].fit(images.reshape(40, 3, 4).astype("float32"), y, verbose=0)
    assert snapshot(nets[0]) == snapshot(nets[1])
    assert np.array_equal(nets[0].predict(layout(images)), nets[1].predict(images))


def test_labels_and_weights_that_lie_otherwise():
    x, labels = classes()
    weights = np.arange(60.0)
    nets = [classifier() for _ in range(2)]
    nets[0].fit(x, np.repeat(labels, 3)[::3], sample_weight=weights[::-1].copy()[::-1], verbose=0)
    nets[1].fit(x, labels, sample_weight=weights, verbose=0)
    assert snapshot(nets[0]) == snapshot(nets[1])


def test_one_row_for_all_of_them():
    net = regressor().build(4)
    x = np.broadcast_to(rows(1, 4), (40, 4))
    assert np.array_equal(net.predict(x), net.predict(x.copy()))


@pytest.mark.parametrize("mode", ["r", "c"])
@each_dtype
def test_files_mapped_into_memory(tmp_path, dtype, mode):
    x, y = regression()
    for name, values in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", values)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode=mode) for name in "xy"]
    assert all(isinstance(array, np.memmap) for array in mapped)
    assert_same_training(dtype, *mapped, x.astype(dtype), y.astype(dtype))


def test_extended_precision_is_rounded_to_double():
    x, y = regression()
    assert_same_training("float64", x.astype(np.longdouble), y.astype(np.longdouble), x, y)


# ---- things that are not arrays ------------------------------------------------------------------


class Exporter:
    """Anything with `__array__`, as tensors of other packages have."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values


def test_whatever_says_how_it_becomes_an_array():
    x, y = regression()
    net = regressor().build(4)
    assert np.array_equal(net.predict(Exporter(x)), net.predict(x))
    net.fit(Exporter(x), Exporter(y), verbose=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@each_dtype
def test_pandas(dtype):
    pandas = pytest.importorskip("pandas")
    x, y = regression()
    frame, targets = pandas.DataFrame(x, columns=list("abcd")), pandas.DataFrame(y)
    assert_same_training(dtype, frame, targets, x.astype(dtype), y.astype(dtype))
    frame.index = targets.index = range(100, 140)  # rows go by place, not by label
    assert_same_training(dtype, frame, targets, x.astype(dtype), y.astype(dtype))
    mixed = frame.assign(a=np.arange(40), b=np.float32(0.5), c=True)
    assert_same_training(dtype, mixed, y, mixed.to_numpy(dtype), y.astype(dtype))
    x, labels = classes()
    nets = [classifier(dtype=dtype) for _ in range(2)]
    nets[0].fit(x, pandas.Series(labels), validation_split=0.5, verbose=0)
    nets[1].fit(x, labels, validation_split=0.5, verbose=0)
    assert snapshot(nets[0]) == snapshot(nets[1])


def test_pandas_columns_that_are_not_numbers():
    pandas = pytest.importorskip("pandas")
    net = regressor().build(4)
    frame = pandas.DataFrame(rows(6, 4), columns=list("abcd"))
    with pytest.raises(TypeError, match="x has dtype object, expected numbers"):
        net.predict(frame.assign(b="1"))
    with pytest.raises(TypeError, match=r"y has dtype object.*np.unique|y has dtype object"):
        net.fit(frame, pandas.Series(list("aabbcc")), verbose=0)
    missing = pandas.Series([1, 2, None, 4, 5, 6], dtype="Int64")
    with pytest.raises(cnet.NonFiniteError, match="first at row 2, column 1"):
        net.fit(frame.assign(b=missing), rows(6, 2), verbose=0)


@each_dtype
def test_polars(dtype):
    polars = pytest.importorskip("polars")
    x, y = regression()
    frame, targets = polars.DataFrame(x), polars.DataFrame(y)
    assert_same_training(dtype, frame, targets, x.astype(dtype), y.astype(dtype))
    mixed = frame.with_columns(polars.Series("column_0", np.arange(40)))
    plain = np.column_stack([np.arange(40), x[:, 1:]]).astype(dtype)
    assert_same_training(dtype, mixed, targets, plain, y.astype(dtype))


def test_data_is_neither_written_to_nor_kept():
    x, y = read_only(regression()[0]), read_only(regression()[1])
    net = regressor("adam")
    counts = [sys.getrefcount(a) for a in (x, y)]
    net.fit(x, y, epochs=2, validation_split=0.25, verbose=0)
    net.predict(x)
    net.forward(x)
    assert [sys.getrefcount(a) for a in (x, y)] == counts

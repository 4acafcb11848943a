"""Data sets: what comes with the package, what is read from IDX files, what is generated."""

from __future__ import annotations

import gzip
import pathlib
import random
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest

from cnet import datasets
from cnet.datasets import fashion_mnist
from cnet.errors import CnetError, FileFormatError

# Type code and struct letter, from the description of the format.
TYPE_CODES = {
    "uint8": (0x08, "B"),
    "int8": (0x09, "b"),
    "int16": (0x0B, "h"),
    "int32": (0x0C, "i"),
    "float32": (0x0D, "f"),
    "float64": (0x0E, "d"),
}


def idx_bytes(array: np.ndarray) -> bytes:
    """Encode value by value with struct, so that nothing is shared with the reader."""
    code, letter = TYPE_CODES[array.dtype.name]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + b"".join(struct.pack(">" + letter, value) for value in array.ravel().tolist())


def header(code: int, *shape: int) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


def sample(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(7))
    if np.dtype(dtype).kind == "f":
        array = generator.normal(0, 1e3, shape).astype(dtype)
        array.flat[:3] = [-np.inf, np.finfo(dtype).tiny, np.finfo(dtype).max]
        return array
    limits = np.iinfo(dtype)
    array = generator.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    array.flat[:2] = [limits.min, limits.max]
    return array


def write(path: pathlib.Path, content: bytes, packed: bool = False) -> pathlib.Path:
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


class TestDigits:
    def test_form(self) -> None:
        x, y = datasets.load_digits()
        assert (x.shape, x.dtype) == ((1797, 8, 8), np.uint8)
        assert (y.shape, y.dtype) == ((1797,), np.int64)
        assert (x.min(), x.max()) == (0, 16)
        assert x.flags.c_contiguous and x.flags.writeable

    def test_values(self) -> None:
        x, y = datasets.load_digits()
        # Checksums of scikit-learn's load_digits(), as uint8.
        assert zlib.crc32(x.tobytes()) == 0xF3A2533C
        assert zlib.crc32(y.astype(np.uint8).tobytes()) == 0xF86FC929
        assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        # The first image is a nought.
        assert x[0, 3].tolist() == [0, 4, 12, 0, 0, 8, 8, 0]

    def test_calls_share_nothing(self) -> None:
        x, y = datasets.load_digits()
        x[:] = 0
        y[:] = 0
        again_x, again_y = datasets.load_digits()
        assert again_x.max() == 16 and again_y.max() == 9

    def test_split(self) -> None:
        x, y = datasets.load_digits()
        (train_x, train_y), (test_x, test_y) = datasets.load_digits(split=True)
        assert (train_x.shape, test_x.shape) == ((1442, 8, 8), (355, 8, 8))
        assert (train_y.shape, test_y.shape) == ((1442,), (355,))
        for digit in range(10):
            own = x[y == digit]
            held_out = [i for i in range(len(own)) if i % 5 == 4]
            kept = [i for i in range(len(own)) if i % 5 != 4]
            np.testing.assert_array_equal(test_x[test_y == digit], own[held_out])
            np.testing.assert_array_equal(train_x[train_y == digit], own[kept])

    @pytest.mark.parametrize("split", [0.2, 1, "yes", None])
    def test_split_is_a_bool(self, split: object) -> None:
        with pytest.raises(TypeError, match="split must be True or False, got"):
            datasets.load_digits(split=split)

    def test_licence_is_beside_the_data(self) -> None:
        folder = pathlib.Path(datasets.__file__).parent
        text = (folder / "digits-LICENSE.txt").read_text(encoding="utf-8")
        for words in ("CC BY 4.0", "E. Alpaydin and C. Kaynak", "10.24432/C50P49"):
            assert words in text
        for data in folder.glob("*.gz"):
            assert data.name in text


class TestLoadIdx:
    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    @pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4), (3, 1, 2, 1, 2)])
    @pytest.mark.parametrize("dtype", TYPE_CODES)
    def test_round_trip(
        self, tmp_path: pathlib.Path, dtype: str, shape: tuple[int, ...], packed: bool
    ) -> None:
        array = sample(dtype, shape)
        # The name says the opposite of the content: only the content may count.
        path = write(tmp_path / ("a.idx" if packed else "a.gz"), idx_bytes(array), packed)
        loaded = datasets.load_idx(path)
        assert loaded.dtype == np.dtype(dtype) and loaded.dtype.isnative
        assert loaded.flags.c_contiguous and loaded.flags.writeable and loaded.flags.aligned
        np.testing.assert_array_equal(loaded, array, strict=True)

    def test_bytes_of_the_specification(self, tmp_path: pathlib.Path) -> None:
        content = bytes.fromhex("00000b02 00000002 00000003 0001 0100 7fff 8000 ffff 0000")
        loaded = datasets.load_idx(str(write(tmp_path / "a", content)))
        assert loaded.tolist() == [[1, 256, 32767], [-32768, -1, 0]]

    @pytest.mark.parametrize("shape", [(), (0,), (0, 28, 28), (3, 0)])
    def test_scalar_and_empty(self, tmp_path: pathlib.Path, shape: tuple[int, ...]) -> None:
        array = np.full(shape, 2.5)
        loaded = datasets.load_idx(write(tmp_path / "a", idx_bytes(array)))
        np.testing.assert_array_equal(loaded, array, strict=True)

    def test_larger_than_one_piece(self, tmp_path: pathlib.Path) -> None:
        array = np.arange(3 * 2**20 + 5, dtype=np.uint32).astype(np.uint8)
        content = header(0x08, array.size) + array.tobytes()
        for packed in (False, True):
            loaded = datasets.load_idx(write(tmp_path / "a", content, packed))
            np.testing.assert_array_equal(loaded, array, strict=True)

    def test_two_gzip_members(self, tmp_path: pathlib.Path) -> None:
        content = idx_bytes(sample("int16", (20,)))
        path = tmp_path / "a"
        path.write_bytes(gzip.compress(content[:13]) + gzip.compress(content[13:]))
        np.testing.assert_array_equal(datasets.load_idx(path), sample("int16", (20,)))

    def test_no_such_file(self, tmp_path: pathlib.Path) -> None:
        with pytest.raises(FileNotFoundError) as caught:
            datasets.load_idx(tmp_path / "absent")
        assert not isinstance(caught.value, CnetError)

    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    def test_cut_off_anywhere(self, tmp_path: pathlib.Path, packed: bool) -> None:
        content = idx_bytes(sample("float32", (4, 5)))
        whole = gzip.compress(content) if packed else content
        for length in range(len(whole)):
            path = write(tmp_path / "cut", whole[:length])
            with pytest.raises(FileFormatError) as caught:
                datasets.load_idx(path)
            assert str(path) in str(caught.value)
            assert ", expected " in str(caught.value) and ", found " in str(caught.value)

    def test_position_and_counts_are_named(self, tmp_path: pathlib.Path) -> None:
        content = idx_bytes(sample("int32", (4, 5)))[:-3]
        words = (
            r"at byte 12, expected 80 bytes for int32 values of shape \(4, 5\), "
            r"found a file of 89 bytes, too small to hold them"
        )
        with pytest.raises(FileFormatError, match=words):
            datasets.load_idx(write(tmp_path / "a", content))
        words = (
            r"at byte 89 of the decompressed data, expected 80 bytes for int32 values of shape "
            r"\(4, 5\), found the end of the data, 3 bytes short"
        )
        with pytest.raises(FileFormatError, match=words):
            datasets.load_idx(write(tmp_path / "a", content, packed=True))

    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    def test_bytes_left_over(self, tmp_path: pathlib.Path, packed: bool) -> None:
        path = write(tmp_path / "a", idx_bytes(sample("uint8", (6,))) + b"\0", packed)
        with pytest.raises(FileFormatError, match=r"at byte 14\b.* found more bytes"):
            datasets.load_idx(path)

    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "at byte 0.* found the end of the data"),
            (b"<!DOCTYPE html><html>", r"at byte 0.* found b'<!'"),
            (b"\x93NUMPY\x01\x00", "at byte 0.* the two zero bytes"),
            (b"PK\x03\x04" + bytes(30), "at byte 0.* the two zero bytes"),
            (bytes(64), r"at byte 2.* type codes 0x08 uint8, .* 0x0E float64, found 0x00"),
            (header(0x0A, 2) + bytes(8), "at byte 2.* found 0x0A"),
            (header(0x88, 2) + bytes(8), "at byte 2.* found 0x88"),
        ],
    )
    def test_foreign(
        self, tmp_path: pathlib.Path, content: bytes, words: str, packed: bool
    ) -> None:
        with pytest.raises(FileFormatError, match=words):
            datasets.load_idx(write(tmp_path / "a", content, packed))

    def test_damaged_gzip(self, tmp_path: pathlib.Path) -> None:
        whole = gzip.compress(idx_bytes(sample("float64", (50,))))
        # The method, a byte of the deflate stream, the checksum, the length.
        for position in (2, len(whole) // 2, len(whole) - 8, len(whole) - 1):
            damaged = bytearray(whole)
            damaged[position] ^= 0x55
            with pytest.raises(FileFormatError, match=r"damaged gzip stream|cut off|at byte"):
                datasets.load_idx(write(tmp_path / "a", bytes(damaged)))
        damaged = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]
        with pytest.raises(FileFormatError, match=r"damaged gzip stream \(CRC check failed"):
            datasets.load_idx(write(tmp_path / "a", damaged))

    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    @pytest.mark.parametrize(
        "content",
        [
            header(0x0E, *[2**32 - 1] * 3) + bytes(1000),
            header(0x08, *[2**32 - 1] * 255) + bytes(1000),
            header(0x0D, 2**31) + bytes(1000),
            # Nothing to allocate, but no array has such a shape.
            header(0x08, 0, *[2**32 - 1] * 3),
            header(0x08, *[1] * 255) + bytes(1),
        ],
        ids=["huge", "huge-255", "8-GiB", "empty-huge", "255-dimensions"],
    )
    def test_hostile_header(self, tmp_path: pathlib.Path, content: bytes, packed: bool) -> None:
        path = write(tmp_path / "a", content, packed)
        assert peak_of_refusal(path) < 2**21

    def test_possible_but_untrue_announcement(self, tmp_path: pathlib.Path) -> None:
        # Deflate could pack 60 MB so small; only reading shows that 100 kB are there.
        content = header(0x08, 60_000_000) + random.Random(3).randbytes(100_000)
        assert peak_of_refusal(write(tmp_path / "a", content, packed=True)) < 2**22

    def test_gzip_bomb(self, tmp_path: pathlib.Path) -> None:
        path = write(tmp_path / "a", header(0x08, 10) + bytes(2**25), packed=True)
        assert path.stat().st_size < 2**16
        assert peak_of_refusal(path) < 2**21


def peak_of_refusal(path: pathlib.Path) -> int:
    """Return the most bytes allocated at any moment while `path` is refused."""
    datasets.load_digits()  # imports what decompression needs, which should not count
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError):
            datasets.load_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def write_fashion(folder: pathlib.Path, packed: bool = True) -> pathlib.Path:
    """Write the four files with a few random images."""
    generator = np.random.Generator(np.random.PCG64(1))
    for part, rows in (("train", 12), ("t10k", 5)):
        x = generator.integers(0, 256, (rows, 28, 28), np.uint8)
        y = np.arange(rows, dtype=np.uint8) % 10
        suffix = ".gz" if packed else ""
        write(folder / f"{part}-images-idx3-ubyte{suffix}", idx_bytes(x), packed)
        write(folder / f"{part}-labels-idx1-ubyte{suffix}", idx_bytes(y), packed)
    return folder


class TestFashionMnist:
    @pytest.mark.fashion
    def test_the_real_thing(self) -> None:
        try:
            (x, y), (x_test, y_test) = datasets.load_fashion_mnist()
        except FileNotFoundError as absent:
            pytest.skip(str(absent))
        assert (x.shape, x.dtype) == ((60000, 28, 28), np.uint8)
        assert (x_test.shape, x_test.dtype) == ((10000, 28, 28), np.uint8)
        assert y.dtype == y_test.dtype == np.int64
        assert np.bincount(y).tolist() == [6000] * 10
        assert np.bincount(y_test).tolist() == [1000] * 10
        # Mean and standard deviation of the training pixels as commonly quoted: 0.2860, 0.3530.
        counts = sum(np.bincount(block.ravel(), minlength=256) for block in np.array_split(x, 60))
        levels = np.arange(256) / 255
        mean = np.average(levels, weights=counts)
        assert round(mean, 4) == 0.2860
        assert round(np.average((levels - mean) ** 2, weights=counts) ** 0.5, 4) == 0.3530
        assert datasets.FASHION_MNIST_CLASSES[y[0]] == "Ankle boot"

    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    def test_folder(self, tmp_path: pathlib.Path, packed: bool) -> None:
        write_fashion(tmp_path, packed)
        for folder in (tmp_path, str(tmp_path)):
            (x, y), (x_test, y_test) = datasets.load_fashion_mnist(folder)
            assert x.shape == (12, 28, 28) and x_test.shape == (5, 28, 28)
            assert y.dtype == y_test.dtype == np.int64
            assert y.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
            assert y_test.tolist() == [0, 1, 2, 3, 4]

    def test_default_folder_is_the_package_s(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert fashion_mnist._DEBIAN_FOLDER == "/usr/share/datasets/fashion-mnist"
        monkeypatch.setattr(fashion_mnist, "_DEBIAN_FOLDER", str(write_fashion(tmp_path)))
        (x, _), _ = datasets.load_fashion_mnist()
        assert x.shape == (12, 28, 28)

    @pytest.mark.parametrize("part", ["train", "t10k"])
    @pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
    def test_missing_file(self, tmp_path: pathlib.Path, part: str, kind: str) -> None:
        write_fashion(tmp_path)
        (tmp_path / f"{part}-{kind}-ubyte.gz").unlink()
        with pytest.raises(FileNotFoundError) as caught:
            datasets.load_fashion_mnist(tmp_path)
        message = str(caught.value)
        assert message.startswith(f"no {part}-{kind}-ubyte.gz or {part}-{kind}-ubyte in {tmp_path}")
        assert "apt-get install dataset-fashion-mnist" in message and "folder=" in message

    @pytest.mark.parametrize(
        ("kind", "array", "words"),
        [
            ("images-idx3", np.zeros((5, 28, 27), np.uint8), r"found uint8 \(5, 28, 27\)"),
            ("images-idx3", np.zeros((5, 28, 28), np.int8), r"found int8 \(5, 28, 28\)"),
            ("images-idx3", np.zeros(5, np.uint8), r"\(N, 28, 28\), found uint8 \(5,\)"),
            ("labels-idx1", np.zeros(6, np.uint8), r"of shape \(5,\).* found uint8 \(6,\)"),
            ("labels-idx1", np.zeros(5, np.int32), r"found int32 \(5,\)"),
            ("labels-idx1", np.array([0, 1, 9, 10, 2], np.uint8), "found 10 in row 3"),
        ],
    )
    def test_foreign_content(
        self, tmp_path: pathlib.Path, kind: str, array: np.ndarray, words: str
    ) -> None:
        path = write_fashion(tmp_path) / f"t10k-{kind}-ubyte.gz"
        write(path, idx_bytes(array), packed=True)
        with pytest.raises(FileFormatError, match=words) as caught:
            datasets.load_fashion_mnist(tmp_path)
        assert str(path) in str(caught.value)

    def test_class_names(self) -> None:
        assert len(set(datasets.FASHION_MNIST_CLASSES)) == 10


def test_public_names() -> None:
    assert datasets.__all__ == sorted(datasets.__all__)
    for name in datasets.__all__:
        public = getattr(datasets, name)
        assert isinstance(public, tuple) or sys.modules[public.__module__].__name__.startswith(
            "cnet.datasets."
        )

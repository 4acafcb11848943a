"""Files that are damaged, foreign or hostile: FileFormatError, and nothing else."""

import json
import random
import struct
import subprocess
import sys

import numpy as np
import pytest
from networks import refused, regression, regressor, snapshot

import cnet


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    """Return a file of a small trained network."""
    net = regressor("adam", metrics=["mae"])
    net.fit(*regression(), epochs=2, verbose=0)
    path = tmp_path_factory.mktemp("good") / "network.cnet"
    cnet.save(net, path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.cnet"


def assert_refused(path, raw: bytes, *words) -> None:
    path.write_bytes(raw)
    with refused(cnet.FileFormatError, "network.cnet", *words):
        cnet.load(path)


def assert_loads_or_is_refused(path, raw: bytes) -> bool:
    """Return whether the file was refused; no other error may come."""
    path.write_bytes(raw)
    try:
        assert isinstance(cnet.load(path), cnet.Sequential)
    except cnet.FileFormatError:
        return True
    return False


def parts_of(raw: bytes) -> tuple[dict, dict, bytes]:
    """Return (header, description, arrays) of a file."""
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["cnet"]), raw[8 + length :]


def file_of(header, description, arrays: bytes) -> bytes:
    if description is not None:
        header["__metadata__"]["cnet"] = json.dumps(description)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + arrays


# ---- damage --------------------------------------------------------------------------------------


def test_the_file_itself_is_good(path, good):
    path.write_bytes(good)
    path.write_bytes(file_of(*parts_of(good)))
    assert snapshot(cnet.load(path))["passes"] == b"2"


def test_truncated_files(path, good):
    for length in [*range(0, len(good), 37), len(good) - 1]:
        assert_refused(path, good[:length])


def test_bytes_that_follow(path, good):
    assert_refused(path, good + b"\0", "1 bytes follow")
    assert_refused(path, good + good)


def test_bytes_that_are_missing_in_the_middle(path, good):
    header = struct.unpack("<Q", good[:8])[0]
    for at in (0, 8, 100, 8 + header, len(good) - 64):
        assert_refused(path, good[:at] + good[at + 8 :])


def test_flipped_bits_in_the_header(path, good):
    generator = random.Random(0)
    end = 8 + struct.unpack("<Q", good[:8])[0]
    refusals = 0
    for _ in range(400):
        raw = bytearray(good)
        raw[generator.randrange(end)] ^= 1 << generator.randrange(8)
        refusals += assert_loads_or_is_refused(path, bytes(raw))
    assert refusals > 200  # the rest changed digits of settings, or blanks


def test_other_bytes_in_the_header(path, good):
    generator = random.Random(1)
    end = 8 + struct.unpack("<Q", good[:8])[0]
    for _ in range(400):
        raw = bytearray(good)
        at = generator.randrange(8, end)
        raw[at : at + generator.randrange(1, 4)] = generator.choice(
            [b"0", b"9", b"-", b"null", b'"', b"{}", b"[", b"1e999", b"\xff", b"true", b"NaN"]
        )
        raw[:8] = struct.pack("<Q", len(raw) - len(good) + end - 8)
        assert_loads_or_is_refused(path, bytes(raw))


def test_other_bytes_in_the_arrays_are_other_numbers(path, good):
    """There is no checksum: a file system has its own."""
    raw = bytearray(good)
    raw[-8:] = struct.pack("<d", 1.5)
    path.write_bytes(bytes(raw))
    assert cnet.load(path).rule.states[1].max() == 1.5


# ---- files of other kinds ------------------------------------------------------------------------


FOREIGN = {
    "empty": b"",
    "one byte": b"x",
    "text": b"The quick brown fox jumps over the lazy dog.\n" * 10,
    "zeros": bytes(1000),
    "ones": b"\xff" * 1000,
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94.",
    "zip": b"PK\x03\x04" + bytes(100),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "npy": b"\x93NUMPY\x01\x00" + bytes(100),
    "no header": struct.pack("<Q", 0),
    "an empty header": struct.pack("<Q", 2) + b"{}",
    "a list": struct.pack("<Q", 2) + b"[]",
    "a number": struct.pack("<Q", 1) + b"3",
    "not JSON": struct.pack("<Q", 3) + b"{a}",
    "not UTF-8": struct.pack("<Q", 4) + b'{"\xff"',
    "deep lists": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "deep dicts": struct.pack("<Q", 600_000) + b'{"a":' * 120_000,
    "long number": struct.pack("<Q", 10_001) + b"1" + b"0" * 10_000,
    "other metadata": struct.pack("<Q", 34) + b'{"__metadata__": {"format": "pt"}}',
    "metadata is a number": struct.pack("<Q", 19) + b'{"__metadata__": 3}',
}


@pytest.mark.parametrize("raw", FOREIGN.values(), ids=FOREIGN)
def test_files_of_other_programs(path, raw):
    assert_refused(path, raw)


def test_a_file_that_safetensors_wrote_for_others(path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    numpy_files.save_file({"a": np.ones(3)}, path)
    with refused(cnet.FileFormatError, "not one that cnet wrote"):
        cnet.load(path)


@pytest.mark.parametrize(
    "length", [0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 100_000_001, 10**6]
)
def test_lengths_of_the_header_that_are_not_its(path, good, length):
    assert_refused(path, struct.pack("<Q", length) + good[8:])


def test_a_later_format_is_named(path, good):
    header, description, arrays = parts_of(good)
    description["version"] = 999
    assert_refused(path, file_of(header, description, arrays), "999", "update cnet")


# ---- headers that lie ----------------------------------------------------------------------------

LIES = {
    "shape": lambda entry: entry | {"shape": [5, 4]},
    "shape of another size": lambda entry: entry | {"shape": [4, 6]},
    "no dimensions": lambda entry: entry | {"shape": []},
    "negative shape": lambda entry: entry | {"shape": [-4, -5]},
    "enormous shape": lambda entry: entry | {"shape": [2**40, 2**40]},
    "empty and enormous": lambda entry: entry | {"shape": [0, 2**70]},
    "broken shape": lambda entry: entry | {"shape": [4.0, 5]},
    "true shape": lambda entry: entry | {"shape": [True, 20]},
    "shape is text": lambda entry: entry | {"shape": "45"},
    "no shape": lambda entry: {k: v for k, v in entry.items() if k != "shape"},
    "dtype": lambda entry: entry | {"dtype": "F32"},
    "unknown dtype": lambda entry: entry | {"dtype": "BF16"},
    "dtype is a list": lambda entry: entry | {"dtype": []},
    "offsets backwards": lambda entry: entry | {"data_offsets": entry["data_offsets"][::-1]},
    "offsets beyond": lambda entry: entry | {"data_offsets": [10**9, 10**9 + 160]},
    "offsets below": lambda entry: entry | {"data_offsets": [-160, 0]},
    "offsets of zero": lambda entry: entry | {"data_offsets": [0, 0]},
    "one offset": lambda entry: entry | {"data_offsets": [0]},
    "three offsets": lambda entry: entry | {"data_offsets": [0, 160, 320]},
    "broken offsets": lambda entry: entry | {"data_offsets": [0.0, 160.0]},
    "entry is a list": lambda entry: [],
    "entry is nothing": lambda entry: None,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("name", ["dense_1.weight", "optimizer.1/dense_2.bias"])
def test_places_and_shapes_of_arrays(path, good, name, lie):
    header, description, arrays = parts_of(good)
    header[name] = lie(header[name])
    assert_refused(path, file_of(header, description, arrays))


def test_arrays_that_are_missing_or_too_many(path, good):
    header, description, arrays = parts_of(good)
    renamed = {name.replace("dense_2", "dense_3"): entry for name, entry in header.items()}
    assert_refused(path, file_of(renamed, description, arrays), "dense_2.weight")
    assert_refused(path, file_of(header | {"odd": header["dense_1.weight"]}, description, arrays))
    del header["optimizer.1/dense_2.bias"]
    assert_refused(path, file_of(header, description, arrays[:-16]), "optimizer.1/dense_2.bias")


def changed(description, place, value):
    """Return a description with one value changed, at a place such as "layers.0.units"."""
    at = description
    *way, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    for key in way:
        at = at[key]
    if value is KeyError:
        del at[last]
    else:
        at[last] = value
    return description


PLACES = [
    "version", "dtype", "seed", "scale", "passes", "input_shape", "input_shape.0",
    "layers", "layers.0", "layers.0.kind", "layers.0.units", "layers.0.activation",
    "layers.0.activation.name", "layers.0.name", "layers.0.inputs", "layers.0.kernel_initializer",
    "compiled.optimizer", "compiled.optimizer.kind", "compiled.optimizer.beta_1", "compiled.loss",
    "compiled.loss.kind", "compiled.metrics", "compiled.settings", "compiled.running",
]  # fmt: skip
VALUES = [None, -1, 1.5, 10**30, "x" * 50, True, [], {}, [[]], [None], {"kind": "Dense"}, KeyError]


@pytest.mark.parametrize("place", PLACES)
def test_descriptions_of_something_else(path, good, place):
    for value in VALUES:
        header, description, arrays = parts_of(good)
        raw = file_of(header, changed(description, place, value), arrays)
        assert_loads_or_is_refused(path, raw)


@pytest.mark.parametrize("kind", ["object", "Sequential", "os.system", "__import__", ""])
def test_only_descriptions_are_made(path, good, kind):
    header, description, arrays = parts_of(good)
    description["layers"][0]["kind"] = kind
    assert_refused(path, file_of(header, description, arrays), f"'{kind}' is not known")


def test_a_description_cannot_ask_for_more_memory_than_the_file_has(path, good):
    """In a process of its own, whose largest size is compared with that before loading."""
    if not sys.platform.startswith("linux"):
        pytest.skip("sizes of processes are read from Linux's /proc")
    code = (
        "import sys, cnet\n"
        "def peak():\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return int(next(line for line in lines if line.startswith('VmHWM')).split()[1])\n"
        "cnet.load(sys.argv[1])\n"
        "before = peak()\n"
        "try:\n"
        "    cnet.load(sys.argv[2])\n"
        "except cnet.FileFormatError:\n"
        "    print('refused', (peak() - before) / before < 0.5)\n"
    )
    header, description, arrays = parts_of(good)
    description["layers"][0]["units"] = 10**7  # 4 * 10^7 numbers of 8 bytes
    path.write_bytes(good)
    hostile = path.with_name("hostile.cnet")
    hostile.write_bytes(file_of(header, description, arrays))
    done = subprocess.run(
        [sys.executable, "-c", code, path, hostile],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "refused True\n", done.stderr

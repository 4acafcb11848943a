"""The format of files: arrays and a description, written whole or not at all, read without trust.

It is safetensors (https://github.com/huggingface/safetensors): eight bytes with the length of a
JSON header, the header, and the arrays. It is written here by its specification, in sixty lines:
for them the package of that name would be a third dependency. A file made here opens there, and the
tests hold the two to it. Nothing in a file is ever executed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from cnet.arrays import Array
from cnet.errors import FileFormatError

_TYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"U{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    **{f"I{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
}
_CODES = {dtype: code for code, dtype in _TYPES.items()}
# The specification's own limit: no honest header is larger.
_LARGEST_HEADER = 100_000_000
_BINARY: int = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
# What files are called that are being written; one that is killed meanwhile leaves such a file.
TEMPORARY = ".cnet-"


def encode(
    config: dict[str, Any], arrays: Mapping[str, Array], *, checksum: bool = False
) -> list[bytes]:
    """Return the parts of a file.

    Parameters
    ----------
    config : dict
        What JSON can hold.
    arrays : dict of str to array
        Of the dtypes of the format.
    checksum : bool
        Have `decode` notice any bit that is not what it was.
    """
    import json  # costs as much as all of cnet's own modules; only files need it

    metadata = {"format": "cnet", "cnet": json.dumps(config)}
    header: dict[str, Any] = {"__metadata__": metadata}
    at, parts = 0, []
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        end = at + little.nbytes
        header[name] = {
            "dtype": _CODES[little.dtype],
            "shape": list(array.shape),
            "data_offsets": [at, end],
        }
        parts.append(little.tobytes())
        at = end
    if checksum:
        metadata["checksum"] = _checksum(header, parts)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return [len(head).to_bytes(8, "little"), head, *parts]


def _checksum(header: dict[str, Any], parts: Iterable[bytes | memoryview]) -> str:
    """Return a hash of everything in a file but itself."""
    import hashlib  # as json above
    import json

    found = hashlib.blake2b(json.dumps(header).encode(), digest_size=16)
    for part in parts:
        found.update(part)
    return found.hexdigest()


def decode(raw: bytes, *, checksum: bool = False) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return (config, arrays) of a file; the arrays may be read-only.

    Parameters
    ----------
    raw : bytes
    checksum : bool
        Refuse a file that has no checksum. One that is there is always compared.

    Raises
    ------
    FileFormatError
        If it is damaged, truncated or not one that `encode` made.
    """
    import json

    if len(raw) < 8:
        raise FileFormatError(f"a file of {len(raw)} bytes is no safetensors file")
    length = int.from_bytes(raw[:8], "little")
    if length > min(len(raw) - 8, _LARGEST_HEADER):
        raise FileFormatError(
            f"it is no safetensors file, or truncated: the header should be {length} bytes long, "
            f"but the file has {len(raw)}"
        )
    try:
        header = json.loads(raw[8 : 8 + length])
        metadata = header.pop("__metadata__")
        if metadata["format"] != "cnet" or not set(metadata) <= {"format", "cnet", "checksum"}:
            raise KeyError("cnet")
        expected = metadata.pop("checksum", None)
        config = json.loads(metadata["cnet"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FileFormatError("the header is not one that cnet wrote") from None
    data = memoryview(raw)[8 + length :]
    arrays, at = {}, 0
    for name, entry in header.items():
        try:
            dtype, shape = _TYPES[entry["dtype"]], tuple(entry["shape"])
            begin, end = entry["data_offsets"]
            if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
                raise ValueError(name)
        except (ValueError, KeyError, TypeError):
            raise FileFormatError(f"the header's entry for {name!r} is damaged") from None
        if begin != at or end - begin != math.prod(shape) * dtype.itemsize:
            raise FileFormatError(f"the place of {name!r} does not fit its shape {shape}")
        if end > len(data):
            raise FileFormatError(f"the file ends before {name!r}: it is truncated")
        array = np.frombuffer(data[begin:end], dtype).reshape(shape)
        arrays[name] = array.astype(dtype.newbyteorder("="), copy=False)
        at = end
    if at != len(data):
        raise FileFormatError(f"{len(data) - at} bytes follow the last array")
    if expected is None and checksum:
        raise FileFormatError("it has no checksum, as every checkpoint has")
    if expected is not None and expected != _checksum({"__metadata__": metadata} | header, [data]):
        raise FileFormatError("its checksum is not that of its contents: it is damaged")
    return config, arrays


def write_atomically(path: Path, parts: list[bytes]) -> None:
    """Write a file so that it appears whole or not at all, and stays through a loss of power.

    Raises
    ------
    OSError
    """
    path = Path(os.path.realpath(path))  # a link stays a link: what it names is replaced
    mode = 0o666
    if path.exists():
        if not path.is_file():
            raise FileExistsError(f"{path} is no ordinary file, and would be replaced by one")
        mode = path.stat().st_mode & 0o777
    # Opened by hand, since tempfile's files may only be read by their owner.
    temporary = path.parent / f"{TEMPORARY}{os.urandom(8).hex()}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):  # Ctrl-C may come when it has its name already
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush a rename to the disk, where the system has such a thing for folders."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)

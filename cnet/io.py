"""Files: one safetensors file per network, written whole or not at all, read without trusting it.

The format (https://github.com/huggingface/safetensors) is eight bytes with the length of a JSON
header, the header, and the arrays. It is written here by its specification, in sixty lines: for
them the package of that name would be a third dependency. A file made here opens there, and the
tests hold the two to it. Nothing in a file is ever executed.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from cnet.arrays import Array
from cnet.errors import FileFormatError
from cnet.model import Sequential
from cnet.state import restore, state_of

_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
_CODES = {dtype: code for code, dtype in _TYPES.items()}
# The specification's own limit: no honest header is larger.
_LARGEST_HEADER = 100_000_000
_BINARY: int = getattr(os, "O_BINARY", 0)  # Windows would translate line ends


def save(net: Sequential, path: str | os.PathLike[str]) -> None:
    """Write a network to one file: architecture, weights, optimizer state, seed.

    The file appears whole or not at all: it is written beside its place, flushed to the disk and
    renamed, so that an earlier file of that name survives any failure. A network that is loaded
    from it goes on training as this one would, to the same bits.

    Parameters
    ----------
    net : Sequential
        Built.
    path : path

    Raises
    ------
    NotBuiltError
        Before `build`.
    OSError
        If the file cannot be written.
    """
    config, arrays = state_of(net)
    _write_atomically(Path(path), _encode(config, arrays))


def load(path: str | os.PathLike[str]) -> Sequential:
    """Read a network that `save` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    Sequential

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is damaged, truncated or not one of cnet's.
    """
    raw = Path(path).read_bytes()
    try:
        return restore(*_decode(raw))
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)}: {error}") from None
    except Exception as error:
        # Whatever a hostile header makes of a description, it is the file's fault.
        raise FileFormatError(f"{os.fspath(path)} does not describe a network: {error}") from error


def _encode(config: dict[str, Any], arrays: dict[str, Array]) -> list[bytes]:
    import json  # costs as much as all of cnet's own modules; only files need it

    header: dict[str, Any] = {"__metadata__": {"format": "cnet", "cnet": json.dumps(config)}}
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
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *parts]


def _decode(raw: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
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
        if metadata["format"] != "cnet":
            raise KeyError("cnet")
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
    return config, arrays


def _write_atomically(path: Path, parts: list[bytes]) -> None:
    path = Path(os.path.realpath(path))  # a link stays a link: what it names is replaced
    mode = 0o666
    if path.exists():
        if not path.is_file():
            raise FileExistsError(f"{path} is no ordinary file, and would be replaced by one")
        mode = path.stat().st_mode & 0o777
    # Opened by hand, since tempfile's files may only be read by their owner.
    temporary = path.parent / f".cnet-{os.urandom(8).hex()}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
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

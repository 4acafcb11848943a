"""The IDX file format of MNIST and its relatives, plain or gzipped.

A file is a big-endian header (two zero bytes, a type code, the number of dimensions, each
dimension as an unsigned 32-bit integer) followed by the values in C order.
"""

from __future__ import annotations

import math
import os
import stat
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cnet.errors import FileFormatError

if TYPE_CHECKING:
    import gzip
    import io

    import numpy.typing as npt

    ImagesAndLabels: TypeAlias = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]

_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}

# Deflate spends at least two bits on a match of at most 258 bytes.
_DEFLATE_MAX_RATIO = 258 * 8 // 2

_PIECE = 1 << 20


class _Reader:
    """Takes a file's bytes in order, knows its position, and names it when a fault turns up."""

    def __init__(
        self, stream: io.BufferedReader | gzip.GzipFile, path: str, packed: bool, size: int | None
    ) -> None:
        self._stream = stream
        self._path = path
        self._packed = packed
        self._size = size
        self.offset = 0

    def check_room(self, count: int, expected: str) -> None:
        """Refuse `count` more bytes if a file of this size cannot hold them."""
        if self._size is None:
            return
        if self.offset + count > self._size * (_DEFLATE_MAX_RATIO if self._packed else 1):
            kind = "gzip file" if self._packed else "file"
            raise self.fault(expected, f"a {kind} of {self._size} bytes, too small to hold them")

    def fault(self, expected: str, found: str) -> FileFormatError:
        where = f"byte {self.offset}" + (" of the decompressed data" if self._packed else "")
        return FileFormatError(
            f"{self._path} cannot be read as an IDX file: at {where}, expected {expected}, "
            f"found {found}. Copy or download the file again, or check that it is the file meant."
        )

    def some(self, limit: int, expected: str) -> bytes:
        """Return 1 to `limit` bytes, or none at the end of the data."""
        if not self._packed:
            piece = self._stream.read1(limit)
        else:
            # Here and in load_idx, not above: `import cnet` should not pay for decompression.
            import zlib

            try:
                piece = self._stream.read1(limit)
            except EOFError:
                raise self.fault(expected, "the gzip stream cut off") from None
            except (zlib.error, OSError) as error:
                # An OSError with an errno is the machine's (a disk, a network), not the file's.
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise self.fault(expected, f"a damaged gzip stream ({error})") from error
        self.offset += len(piece)
        return piece

    def exactly(self, count: int, expected: str) -> bytearray:
        """Return `count` bytes. Memory grows with what is there, not with what is asked for."""
        taken = bytearray()
        while len(taken) < count:
            piece = self.some(min(count - len(taken), _PIECE), expected)
            if not piece:
                raise self.fault(expected, f"the end of the data, {count - len(taken)} bytes short")
            taken += piece
        return taken


def load_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an array from an IDX file, the format in which MNIST is distributed.

    Whether the file is gzipped is seen from its first bytes, not from its name. The header is
    checked against the file's real size before anything is read, and no more is decompressed
    than the header announces.

    Parameters
    ----------
    path : str or os.PathLike
        The file, plain or gzipped.

    Returns
    -------
    numpy.ndarray
        The values in native byte order, writable and C-contiguous, in the shape that the header
        gives: uint8 (type code 0x08), int8 (0x09), int16 (0x0B), int32 (0x0C), float32 (0x0D) or
        float64 (0x0E).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    cnet.errors.FileFormatError
        If the file is not IDX, is cut off or damaged, or holds more than its header announces.
        The message names the file, the position, what was expected and what was found.

    References
    ----------
    Y. LeCun, C. Cortes, C. J. C. Burges, *The MNIST database of handwritten digits*, section
    "The IDX file format".

    Examples
    --------
    >>> x = cnet.datasets.load_idx("train-images-idx3-ubyte.gz")  # doctest: +SKIP
    >>> x.shape, x.dtype  # doctest: +SKIP
    ((60000, 28, 28), dtype('uint8'))
    """
    name = os.fspath(path)
    with open(name, "rb") as file:
        status = os.fstat(file.fileno())
        # A pipe has no size to compare with; it is read piece by piece like the rest.
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        if file.peek(2)[:2] != b"\x1f\x8b":
            return _read_array(_Reader(file, name, packed=False, size=size))
        import gzip

        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            return _read_array(_Reader(stream, name, packed=True, size=size))


def _read_array(reader: _Reader) -> npt.NDArray[Any]:
    known = ", ".join(f"0x{code:02X} {dtype.name}" for code, dtype in _DTYPES.items())
    zeros = bytes(reader.exactly(2, "an IDX header"))
    if zeros != b"\0\0":
        reader.offset = 0
        raise reader.fault("the two zero bytes that begin an IDX header", repr(zeros))
    code, dimensions = reader.exactly(2, "a type code and a number of dimensions")
    if code not in _DTYPES:
        reader.offset = 2
        raise reader.fault(f"one of the type codes {known}", f"0x{code:02X}")
    sizes = reader.exactly(4 * dimensions, f"{dimensions} dimensions of 4 bytes each")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4")) if dimensions else ()
    dtype = _DTYPES[code]
    count = math.prod(shape) * dtype.itemsize
    expected = f"{count} bytes for {dtype.name} values of shape {shape}"
    reader.check_room(count, expected)
    data = reader.exactly(count, expected)
    # Reaching the end is also what makes gzip compare its checksum.
    if reader.some(1, "the end of the data"):
        reader.offset -= 1
        raise reader.fault(f"the end of the data after {expected}", "more bytes")
    try:
        array = np.ndarray(shape, dtype, buffer=data)
    except ValueError as error:
        # More dimensions than NumPy has, or an empty array of an absurd shape.
        raise reader.fault("a shape that NumPy can represent", f"{shape} ({error})") from error
    return array.astype(dtype.newbyteorder("="), copy=False)

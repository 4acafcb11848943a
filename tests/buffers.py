"""Arrays that tell on a kernel that reads or writes beside them.

Each lies between two bands of known numbers, at an address that is a multiple of nothing but its
element's size. After `fence()` it ends instead where a page begins that may not be touched, so that
reading on kills the process; that is for processes that do nothing else.
"""

import ctypes
import math
import mmap

import numpy as np

BAND = 67
GUARD = -777.0

class _Fence:
    """Whether it is up, and the system's function that forbids pages."""

    protect = None


def fence() -> None:
    """Let every array made from now on end at a forbidden page, where the system can do that."""
    if hasattr(mmap, "PROT_READ"):
        _Fence.protect = ctypes.CDLL(None, use_errno=True).mprotect


def _memory(count: int, dtype: np.dtype) -> np.ndarray:
    """Return a flat array; without a fence there is room for another band behind it."""
    if _Fence.protect is None:
        return np.empty(count + BAND, dtype)
    size = -(-count * dtype.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = mmap.mmap(-1, size + mmap.PAGESIZE)
    end = ctypes.addressof(ctypes.c_char.from_buffer(pages)) + size
    if _Fence.protect(ctypes.c_void_p(end), ctypes.c_size_t(mmap.PAGESIZE), 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    return np.frombuffer(pages, dtype, count, size - count * dtype.itemsize)


class Guarded:
    """A C-contiguous array filled with `fill`, and the bands around it.

    Attributes
    ----------
    array : array of the shape and dtype asked for
    """

    def __init__(self, shape: tuple[int, ...], dtype, fill=math.nan):
        self._size = math.prod(shape)
        self._flat = _memory(BAND + self._size, np.dtype(dtype))
        self._flat[:] = GUARD
        self._flat[BAND : BAND + self._size] = fill
        self.array = self._flat[BAND : BAND + self._size].reshape(shape)

    def assert_untouched(self) -> None:
        """Assert that nothing was written beside the array."""
        assert (self._flat[:BAND] == GUARD).all(), "something was written before the array"
        assert (self._flat[BAND + self._size :] == GUARD).all(), "written behind the array"


def guarded(values: np.ndarray, dtype=None) -> Guarded:
    """Return a copy between bands."""
    values = np.asarray(values)
    copy = Guarded(values.shape, values.dtype if dtype is None else dtype, 0)
    copy.array[...] = values
    return copy


def placed(values: np.ndarray, dtype=None) -> np.ndarray:
    """Return a copy for a kernel to read, odd as to its address."""
    return guarded(values, dtype).array


def embedded(values: np.ndarray, dtype) -> np.ndarray:
    """Return a copy as a window of a larger matrix that is NaN everywhere else."""
    rows, columns = values.shape
    window = Guarded((rows + 2, columns + 3), dtype).array[1 : rows + 1, 2 : columns + 2]
    window[...] = values
    return window

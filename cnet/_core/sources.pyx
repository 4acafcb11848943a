"""The user's arrays, read row by row where they lie."""

import numpy as np

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from cnet._core.csrc cimport cnet_source
from cnet._core.kernels cimport expect_shape, first_nonfinite
from cnet._core.kernels import SOURCES

cdef dict IDS = {name: i for i, name in enumerate(SOURCES)}
cdef int F16 = IDS["f16"], F32 = IDS["f32"], F64 = IDS["f64"]
cdef int[8] UNSIGNED = [IDS["u8"], IDS["u16"], -1, IDS["u32"], -1, -1, -1, IDS["u64"]]
# So many elements are looked at between two looks at whether Ctrl-C was pressed.
cdef size_t SCANNED = 1 << 24
cdef int[8] SIGNED = [IDS["i8"], IDS["i16"], -1, IDS["i32"], -1, -1, -1, IDS["i64"]]


cdef int type_of(const char *format, Py_ssize_t itemsize) noexcept:
    """The row of csrc/sources.h for a buffer's format, or -1."""
    cdef char code = format[0]
    if code == b"@" or code == b"=":
        format += 1
        code = format[0]
    if format[1] != 0:
        return -1
    if code == b"f":
        return F32
    if code == b"d":
        return F64
    if code == b"e":
        return F16
    if code == b"?" or code in b"BHILQ":
        return UNSIGNED[itemsize - 1]
    if code in b"bhilq":
        return SIGNED[itemsize - 1]
    return -1


cdef int fill(cnet_source *rows, Py_buffer *view, double scale) except -1:
    """Describe a held buffer of one or two dimensions; one dimension is one column."""
    cdef int kind = type_of(view.format, view.itemsize)
    if kind < 0:
        raise TypeError(
            f"arrays of format {view.format.decode()!r} cannot be read; expected float16, float32, "
            "float64, an integer type or bool, in the machine's byte order"
        )
    if view.ndim != 1 and view.ndim != 2:
        raise ValueError(f"expected an array of rows, (N,) or (N, columns); got {view.ndim} dimensions")
    rows.data = <const char *>view.buf
    rows.rows = view.shape[0]
    rows.columns = view.shape[1] if view.ndim == 2 else 1
    rows.row_stride = view.strides[0]
    rows.column_stride = view.strides[1] if view.ndim == 2 else view.itemsize
    rows.type = kind
    rows.scale = scale
    rows.shift = rows.factor = NULL
    return 0


cdef const void *in_place(const cnet_source *rows, size_t first, size_t itemsize) noexcept nogil:
    if (rows.type != (F32 if itemsize == 4 else F64) or rows.scale != 1
            or <size_t>rows.data % itemsize != 0
            or rows.column_stride != <ptrdiff_t>itemsize or rows.shift != NULL
            or rows.row_stride != <ptrdiff_t>(itemsize * rows.columns)):
        return NULL
    return rows.data + first * rows.columns * itemsize


cdef int expect_indices(str name, array, size_t count, size_t limit) except -1:
    """Make sure that an array holds `count` indices below `limit`, where C can read them."""
    if (array.dtype != np.int64 or array.shape != (count,) or not array.flags.c_contiguous
            or array.min() < 0 or array.max() >= limit):
        raise ValueError(
            f"{name} must be a C-contiguous int64 array of {count} indices in 0..{limit - 1}; "
            f"got {array.dtype} of shape {array.shape}"
        )
    return 0


cdef class PerColumn:
    """A shift and a factor for every column, which whoever is given them uses.

    Rows are gathered as (x - shift) * factor, outputs are restored as y * factor + shift.

    Parameters
    ----------
    shift, factor : (columns,) array
        Copied to float64; finite.

    Raises
    ------
    ValueError
        For other shapes, or what is not finite.
    """

    def __cinit__(self, shift, factor):
        self.shift, self.factor = np.array(shift, np.float64), np.array(factor, np.float64)
        self.columns = self.shift.size
        if self.shift.shape != (self.columns,) or self.factor.shape != (self.columns,):
            raise ValueError(f"shift {self.shift.shape} and factor {self.factor.shape} must be "
                             "(columns,)")
        if not (np.isfinite(self.shift).all() and np.isfinite(self.factor).all()):
            raise ValueError("shift and factor must be finite")
        cdef const double[::1] shifts = self.shift, factors = self.factor
        if self.columns:
            self.shift_at, self.factor_at = &shifts[0], &factors[0]
        # What the C half reads, nobody writes.
        self.shift.flags.writeable = self.factor.flags.writeable = False


cdef class Source:
    """Rows of an array of any numeric type and any strides; nothing is copied.

    Parameters
    ----------
    array : (N,) or (N, columns) array
        float16, float32, float64, integer or bool; read-only is fine. Kept alive.
    scale : float
        Multiplies every value while it is gathered.
    scaling : PerColumn, optional
        Before that, x becomes (x - shift) * factor, in double.

    Raises
    ------
    TypeError
        For another dtype or byte order.
    ValueError
        For another number of dimensions, or of columns in `scaling`.
    """

    def __cinit__(self, array, double scale=1.0, PerColumn scaling=None):
        self.held = False
        PyObject_GetBuffer(array, &self.view, PyBUF_STRIDES | PyBUF_FORMAT)
        self.held = True
        fill(&self.rows, &self.view, scale)
        if scaling is not None:
            self.normalize(scaling)

    def normalize(self, PerColumn scaling not None):
        """From now on, gather x as (x - shift) * factor."""
        expect_shape("scaling", (scaling.columns,), (self.rows.columns,))
        self.scaling = scaling
        self.rows.shift, self.rows.factor = scaling.shift_at, scaling.factor_at

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    @property
    def shape(self):
        """(rows, columns)"""
        return self.rows.rows, self.rows.columns

    def first_nonfinite(self):
        """(row, column) of the first value that is NaN or infinite, or None."""
        cdef cnet_source part = self.rows
        cdef size_t done = 0, at, block = max(1, SCANNED // max(1, self.rows.columns))
        while done < self.rows.rows:
            part.data = self.rows.data + <ptrdiff_t>done * self.rows.row_stride
            part.rows = min(block, self.rows.rows - done)
            with nogil:
                at = first_nonfinite(&part)
            if at < part.rows * part.columns:
                return done + at // part.columns, at % part.columns
            done += part.rows
            PyErr_CheckSignals()
        return None


cdef void take_indices(const int64_t *indices, const int64_t *order, size_t first, size_t n,
                       int64_t *out) noexcept nogil:
    cdef size_t i
    for i in range(n):
        out[i] = indices[order[first + i] if order != NULL else first + i]


cdef void put_rows(const char *rows, size_t size, const int64_t *order, size_t first, size_t n,
                   char *out) noexcept nogil:
    cdef size_t i, row
    for i in range(n):
        row = <size_t>order[first + i] if order != NULL else first + i
        memcpy(out + row * size, rows + i * size, size)

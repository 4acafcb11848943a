"""Operations and losses of the user's own: called from the loop, in Python or in compiled code.

Python is given NumPy views of the slots, which nobody may write to, under the GIL. What it raises is
kept with the pass (`failure` of its run), which goes on without another call and ends in
`raise_failure`. Compiled functions get the pointers, and no GIL.
"""

import math

import numpy as np

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.math cimport NAN
from libc.string cimport memcpy

from cnet._core.csrc cimport cnet_op, cnet_run
from cnet._core.workspace cimport Workspace, address


cdef int fail(const cnet_run *run, error) except -1:
    Py_INCREF(error)
    (<cnet_run *>run).failure = <void *>error
    return 0


cdef object take_failure(cnet_run *run):
    if run.failure == NULL:
        return None
    error = <object>run.failure
    Py_DECREF(error)
    run.failure = NULL
    return error


cdef int raise_failure(cnet_run *run) except -1:
    if run.failure != NULL:
        raise take_failure(run)
    return 0


cdef object view_of(object memory, const void *at, size_t rows, size_t columns, object dtype):
    """A (rows, columns) array that cannot be written to, of what lies in some memory.

    It keeps that memory alive, since a traceback may show it much later. What lies elsewhere (the
    user's own rows, where they are read in place) nobody keeps alive: that is copied.
    """
    cdef size_t size = rows * columns * <size_t>dtype.itemsize
    cdef size_t first = <size_t>at - <size_t>address(memory)
    if <size_t>at >= <size_t>address(memory) and first + size <= <size_t>memory.nbytes:
        array = memory[first:first + size].view(dtype)
    else:
        array = np.frombuffer(
            PyMemoryView_FromMemory(<char *>at, size, PyBUF_READ), dtype).copy()
    array = array.reshape(rows, columns)
    array.flags.writeable = False
    return array


cdef object slot(const cnet_run *run, const void *at, size_t columns, object dtype):
    return view_of((<Workspace>run.owner).memory, at, run.rows, columns, dtype)


cdef void python_forward(const cnet_op *op, const cnet_run *run) noexcept nogil:
    with gil:
        try:
            (<Foreign>op.foreign.self).forward(op, run)
        except BaseException as error:
            fail(run, error)


cdef void python_backward(const cnet_op *op, const cnet_run *run) noexcept nogil:
    with gil:
        try:
            (<Foreign>op.foreign.self).backward(op, run)
        except BaseException as error:
            fail(run, error)


cdef void compiled_forward(const cnet_op *op, const cnet_run *run) noexcept nogil:
    # A struct's pointer, not an object: no reference is counted without the GIL.
    cdef Compiled *own = <Compiled *>op.foreign.self
    own.forward(run.rows * op.outputs, own.settings, run.value[op.x], run.value[op.y])


cdef void compiled_backward(const cnet_op *op, const cnet_run *run) noexcept nogil:
    cdef Compiled *own = <Compiled *>op.foreign.self
    if op.needs_dx or run.input_slope:
        own.backward(run.rows * op.outputs, own.settings, run.value[op.x], run.value[op.y],
                     run.slope[op.y], run.slope[op.x])


cdef class Foreign:
    """An operation of a program that is the user's own.

    Parameters
    ----------
    call : object
        With forward(x, parameters, training) -> y and backward(x, y, dy, parameters, training,
        needs_dx) -> (dx or None, gradients); arrays that come back have the shape and dtype that
        they should and are C-contiguous (`cnet.calls` makes sure). Or with `kernels`, capsules of
        the functions of an activation by dtype, and `settings`, what they are given.
    parameters, gradients : dict of str to array
        The operation's own views.
    dtype : numpy.dtype
    """

    def __cinit__(self, call not None, dict parameters, dict gradients, dtype):
        self.call, self.dtype = call, dtype
        self.parameters, self.gradients = dict(parameters), dict(gradients)
        for view in self.parameters.values():
            view.flags.writeable = False
        kernels = getattr(call, "kernels", None)
        if kernels is None:
            self.functions.forward, self.functions.backward = python_forward, python_backward
            self.functions.self = <void *>self
            return
        suffix = {"float32": "f32", "float64": "f64"}[dtype.name]
        forward, backward = kernels[dtype.name]
        self.settings = np.array(call.settings or [0.0], np.float64)
        self.compiled.settings = <const double *>address(self.settings)
        self.compiled.forward = <activate>PyCapsule_GetPointer(
            forward, f"cnet.activation.forward.{suffix}".encode())
        self.compiled.backward = <activate_backward>PyCapsule_GetPointer(
            backward, f"cnet.activation.backward.{suffix}".encode())
        self.functions.forward, self.functions.backward = compiled_forward, compiled_backward
        self.functions.self = &self.compiled

    cdef int forward(self, const cnet_op *op, const cnet_run *run) except -1:
        y = self.call.forward(slot(run, run.value[op.x], op.inputs, self.dtype), self.parameters,
                              run.training != 0)
        memcpy(run.value[op.y], address(y), run.rows * op.outputs * <size_t>self.dtype.itemsize)
        return 0

    cdef int backward(self, const cnet_op *op, const cnet_run *run) except -1:
        needs_dx = op.needs_dx or run.input_slope
        if not needs_dx and not self.parameters:
            return 0
        dx, gradients = self.call.backward(
            slot(run, run.value[op.x], op.inputs, self.dtype),
            slot(run, run.value[op.y], op.outputs, self.dtype),
            slot(run, run.slope[op.y], op.outputs, self.dtype),
            self.parameters, run.training != 0, needs_dx)
        for name, view in self.gradients.items():
            if run.fresh:
                view[...] = gradients[name]
            else:
                view += gradients[name]
        if dx is not None:
            memcpy(run.slope[op.x], address(dx),
                   run.rows * op.inputs * <size_t>self.dtype.itemsize)
        return 0


cdef Foreign foreign_of(dict operation, parameters, gradients):
    def views(flat):
        return {name: flat[offset:offset + math.prod(shape)].reshape(shape)
                for name, (offset, shape) in operation["places"].items()}

    return Foreign(operation["call"], views(parameters), views(gradients), parameters.dtype)


cdef class ForeignLoss:
    """A loss of the user's own.

    Parameters
    ----------
    call : object
        With target_kind ("MATRIX", or "LABELS": then takes_labels), columns (of the targets) and
        call(y, target, weight, scale, wants_dy) -> (float, dy or None), dy C-contiguous and of the
        dtype of y.
    dtype : numpy.dtype
    """

    def __cinit__(self, call not None, dtype):
        self.call, self.dtype = call, dtype

    cdef double value(self, cnet_run *run, size_t columns, size_t target_columns, const void *y,
                      const void *target, const void *weight, double scale,
                      void *dy) noexcept nogil:
        cdef double value = NAN
        if run.failure != NULL:
            return value
        with gil:
            try:
                value = self.evaluate(run, columns, target_columns, y, target, weight, scale, dy)
            except BaseException as error:
                fail(run, error)
        return value

    cdef double evaluate(self, cnet_run *run, size_t columns, size_t target_columns, const void *y,
                         const void *target, const void *weight, double scale, void *dy) except *:
        cdef size_t rows = run.rows
        if self.call.takes_labels:
            targets = view_of(self.memory, target, rows, 1, np.dtype(np.int64))[:, 0]
        else:
            targets = view_of(self.memory, target, rows, target_columns, self.dtype)
        weights = None
        if weight != NULL:
            weights = view_of(self.memory, weight, rows, 1, self.dtype)[:, 0]
        value, slope = self.call(slot(run, y, columns, self.dtype), targets, weights, scale,
                                 dy != NULL)
        if dy != NULL:
            memcpy(dy, address(slope), rows * columns * <size_t>self.dtype.itemsize)
        return value

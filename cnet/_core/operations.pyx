"""The operations of a network's program, as the C half reads them."""

from libc.stdlib cimport calloc, free

from cnet._core cimport activations
from cnet._core.csrc cimport (
    CNET_LAYER_batch_normalization, CNET_LAYER_dense, CNET_NONE, cnet_branch, cnet_op, cnet_source,
)
from cnet._core.foreign cimport Foreign, foreign_of
from cnet._core.kernels cimport expect_shape
from cnet._core.kernels import LAYERS
from cnet._core.routes cimport Routes


cdef class Operations:
    """In the order of the forward pass; never written to after they are made.

    Parameters
    ----------
    operations : sequence of dict
        With the keys kind, x, y, z (slots), activation, alpha, weight, bias (offsets in elements
        into the parameters, or None), needs_dx (bool: parameters come before), adds_dx (bool: x has
        a later reader), linked (bool: merged into the loss), stream (of its random numbers), for a
        normalisation mean, variance (offsets into the buffers), epsilon, momentum, for a merge
        branches: (slot, needs_dx, adds_dx) of each, for columns routes (see `Routes`), and for one
        of the user's own call and places, see `cnet._core.foreign.foreign_of`.
    widths : tuple of int
        Columns of every slot.
    itemsize : int
    parameters, gradients : (size,) arrays

    Attributes
    ----------
    needs_whole_batch : bool
        Training rows depend on each other: a batch must not pass in pieces, nor have one row.
    """

    def __cinit__(self, operations, tuple widths, Py_ssize_t itemsize, parameters, gradients):
        cdef int i
        self.routes, self.foreign = [], []
        self.at = <cnet_op *>calloc(max(len(operations), 1), sizeof(cnet_op))
        if self.at == NULL:
            raise MemoryError
        self.count = len(operations)
        for i, operation in enumerate(operations):
            self.set_op(&self.at[i], operation, widths, itemsize, parameters, gradients)

    def __dealloc__(self):
        cdef int i
        for i in range(self.count):
            free(<void *>self.at[i].branches)
        free(self.at)

    cdef int set_op(self, cnet_op *op, dict operation, tuple widths, Py_ssize_t itemsize, parameters,
                    gradients) except -1:
        cdef Routes routes
        cdef Foreign foreign
        if "call" in operation:
            op.kind = -1
            foreign = foreign_of(operation, parameters, gradients)
            self.foreign.append(foreign)
            op.foreign = &foreign.functions
        else:
            op.kind = LAYERS.index(operation["kind"])
            op.activation = activations.find(operation["activation"])
        op.alpha = operation["alpha"]
        op.x, op.y, op.z = operation["x"], operation["y"], operation["z"]
        op.inputs, op.outputs = widths[op.x], widths[op.y]
        op.weight = CNET_NONE if operation["weight"] is None else operation["weight"]
        op.bias = CNET_NONE if operation["bias"] is None else operation["bias"]
        op.needs_dx, op.linked = operation["needs_dx"], operation["linked"]
        op.adds_dx = operation.get("adds_dx", False)
        if op.adds_dx and op.kind != CNET_LAYER_dense:
            self.spare_width = max(self.spare_width, <Py_ssize_t>op.inputs)
        op.branches = branches_of(operation.get("branches", ()), widths)
        op.branch_count = len(operation.get("branches", ()))
        op.stream = operation["stream"]
        op.mean = CNET_NONE if operation.get("mean") is None else operation["mean"]
        op.variance = CNET_NONE if operation.get("variance") is None else operation["variance"]
        op.epsilon, op.momentum = operation.get("epsilon", 0.0), operation.get("momentum", 0.0)
        if "routes" in operation:
            routes = Routes(operation["routes"], op.inputs, parameters.size, itemsize)
            expect_shape("routes", (routes.width,), (op.outputs,))
            self.routes.append(routes)
            op.routes, op.route_count = routes.at, routes.count
        self.needs_whole_batch |= op.kind == CNET_LAYER_batch_normalization
        return 0

    cdef int check_categories(self, const cnet_source *source, str what) except -1:
        cdef Routes routes
        for routes in self.routes:
            routes.check(source, what)
        return 0


cdef cnet_branch *branches_of(branches, tuple widths) except? NULL:
    """What a merge reads, in memory of its own; NULL where there is nothing."""
    cdef cnet_branch *made = NULL
    cdef Py_ssize_t i
    if branches:
        made = <cnet_branch *>calloc(len(branches), sizeof(cnet_branch))
        if made == NULL:
            raise MemoryError
        for i, (slot, needs_dx, adds_dx) in enumerate(branches):
            made[i] = cnet_branch(slot, widths[slot], needs_dx, adds_dx)
    return made

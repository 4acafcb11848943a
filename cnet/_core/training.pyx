"""The training loop: batches of rows through a network and its update rule, without the GIL.

A step allocates nothing and takes no lock. `run` does so many batches and returns, so that Python
can look after signals, progress and callbacks in between.
"""

import numpy as np

from libc.math cimport NAN, isfinite
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from cnet._core cimport losses
from cnet._core.augment cimport Augmenter
from cnet._core.csrc cimport cnet_kernels, cnet_loss, cnet_run
from cnet._core.foreign cimport ForeignLoss, raise_failure
from cnet._core.kernels cimport expect_shape
from cnet._core.kernels import LOSSES, METRICS
from cnet._core.guard cimport Guard
from cnet._core.network cimport Network
from cnet._core.rows cimport Rows
from cnet._core.rules cimport Rule
from cnet._core.sources cimport PerColumn, Source, put_rows
from cnet._core.workspace cimport Workspace, address, aligned_zeros

cdef tuple METRIC_NAMES = tuple(METRICS)
# A larger batch passes in pieces whose gradients are added up, so that memory does not follow it.
cdef Py_ssize_t PIECE_ROWS = 1024


cdef class Batches:
    """Passes over rows in batches, training or only evaluating.

    Parameters
    ----------
    network : Network
    x : Source of (N, inputs)
    targets : Source of (N, columns), or (N,) int64 array of class indices
        Whichever the loss takes.
    weights : Source of (N, 1), optional
    batch_size : int
    loss : str
        A name of `cnet._core.kernels.LOSSES`; any other where own_loss has a `ForeignLoss`'s call.
    parameter, smoothing : float
        The loss's settings.
    mean_over_columns : bool
        The loss is the mean over the columns too.
    merged : bool
        The loss takes logits: leave out the last activation.
    metrics : sequence of str
        Names of `cnet._core.kernels.METRICS`.
    rule : Rule, optional
        Train with it; without one, only evaluate.
    threads : int
        That may work on a batch; changes no bit of the results.
    augmenter : Augmenter, optional
        Changes the rows of every batch. If it mixes them, a loss and metrics of targets (N, columns)
        may be given class indices all the same.
    piece_rows : int
        Most rows of a batch that pass at once, 0 for no such limit: memory is for these, and what is
        over the whole batch otherwise (the statistics of a normalisation, the root in rmse) is over
        a piece; the loss is then the mean of the pieces', each by its rows.
    outputs : (N, outputs) array, optional
        C-contiguous, of the network's dtype: receives every row's outputs, at the row's own place,
        as they were before the step.

    Raises
    ------
    ValueError
        For shapes, labels or names that do not fit.

    Attributes
    ----------
    rows : int
        Of the data set.
    position : int
        Rows of the current pass that are done; equal to `rows` before the first `begin`.
    last_loss : float
        Of the batch last run.
    steps, rows_done : int
        Batches and rows done since `reset_sums`.
    loss_sum : float
        Sum over these of loss times rows; when training, with the parameters' penalties.
    norm_sum : float
        Sum over the steps of the gradients' norm, see `Rule.norm`.
    metric_sums : (m, 2) float64 array
        Weighted sum and sum of weights per metric.
    """

    cdef Network network
    cdef readonly Workspace work
    cdef Rule rule
    cdef Augmenter augmenter
    cdef readonly Guard guard
    cdef Rows data
    cdef object outputs, metric_ids, target_buffer, buffers_before
    # Outputs and targets are in other units than figures: those of the network's `normalize`.
    cdef PerColumn restoring
    cdef char *outputs_at
    cdef str target_kind
    cdef int *metric_ids_at
    cdef double *metric_sums_at
    cdef char *target_at
    cdef char *weight_at
    cdef cnet_loss loss
    cdef ForeignLoss own_loss
    cdef bint mean_over_columns, whole
    cdef bint rooted, moving
    cdef size_t columns, metric_count, piece, buffer_bytes
    cdef void *buffers_at
    cdef void *before_at
    cdef readonly size_t rows, batch_size, piece_rows, position, steps, rows_done
    cdef readonly double loss_sum, norm_sum, last_loss
    cdef readonly object metric_sums

    def __cinit__(self, Network network not None, Source x not None, targets, Source weights,
                  size_t batch_size, str loss, double parameter, double smoothing,
                  bint mean_over_columns, bint merged, metrics=(), Rule rule=None, int threads=1,
                  Augmenter augmenter=None, own_loss=None, size_t piece_rows=0,
                  outputs=None):
        self.network, self.rule, self.augmenter = network, rule, augmenter
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be positive")
        if own_loss is None:
            self.loss = cnet_loss(losses.find(loss), parameter, smoothing)
            self.target_kind = LOSSES[loss]
            self.columns = {"LABELS": 1, "HALF": network.outputs // 2, "MATRIX": network.outputs}[self.target_kind]
        else:
            self.own_loss = ForeignLoss(own_loss, network.numpy_dtype)
            self.target_kind, self.columns = own_loss.target_kind, own_loss.columns
        self.mean_over_columns = mean_over_columns
        # The root in rmse is over the whole batch, and so are the statistics of a normalisation that
        # is trained: neither can be put together from pieces.
        self.rooted, self.piece_rows = loss == "rmse", piece_rows
        self.moving = rule is not None and network.needs_whole_batch
        self.whole = self.rooted or self.moving
        if self.moving:
            self.buffers_before = np.empty_like(network.buffers)
            self.buffer_bytes = self.buffers_before.nbytes
            self.buffers_at, self.before_at = address(network.buffers), address(self.buffers_before)
        self.bind(x, targets, weights, batch_size, outputs)
        self.work.run.merged, self.work.run.threads = merged, threads
        self.metric_count = len(metrics)
        for metric in metrics:
            if METRICS.get(metric) != self.target_kind:
                raise ValueError(f"metric {metric!r} is unknown or does not fit the targets of {loss!r}")
        self.metric_ids = np.array([METRIC_NAMES.index(m) for m in metrics] or [0], np.intc)
        self.metric_ids_at = <int *>address(self.metric_ids)
        self.metric_sums = np.zeros((max(self.metric_count, 1), 2))
        self.metric_sums_at = <double *>address(self.metric_sums)

    def bind(self, Source x not None, targets, Source weights, size_t batch_size=0, outputs=None):
        """Go on with other rows; the arguments are those of the constructor.

        Steps and sums are counted on. The memory stays, unless batches now have more rows than any
        before. `begin` comes next.

        Parameters
        ----------
        batch_size : int
            0 is the one that there is.
        """
        cdef Rows data = Rows(self.network, x, targets, weights, self.target_kind == "LABELS",
                              self.columns, self.augmenter)
        cdef size_t rows = data.count, size = batch_size or self.batch_size
        cdef size_t piece = min(size, self.piece_rows or size)
        cdef char *outputs_at = NULL
        if self.moving and (piece == 1 or rows % size % piece == 1 or (
                rows >= size and size % piece == 1)):
            raise ValueError("one row has no variance to normalise by, and some batch has one row")
        if outputs is not None:
            outputs_at = <char *>self.network.address_of_result(outputs, rows)
        if batch_size:
            size = min(size, rows)
            self.reserve(size)
        self.batch_size = size
        self.data = data
        self.rows = self.position = rows
        self.restoring = self.network.output_scaling
        self.outputs, self.outputs_at = outputs, outputs_at

    cdef int reserve(self, size_t rows) except -1:
        """Have memory for batches of so many rows, or for the pieces that they pass in."""
        cdef size_t item = self.network.itemsize, before = self.piece
        cdef size_t piece = min(rows, self.piece_rows or rows)
        cdef Workspace work
        if not self.whole:
            piece = min(piece, PIECE_ROWS)
        if piece <= before:
            return 0
        work = self.network.workspace(piece, self.rule is not None, False)
        guard = None if self.rule is None else Guard(self.network, self.rule, work)
        buffer = aligned_zeros(piece * (self.columns * max(item, 8) + item) + 64)
        if before:
            work.run.merged, work.run.threads = self.work.run.merged, self.work.run.threads
        self.work, self.guard = work, guard
        self.target_buffer, self.piece = buffer, piece
        if self.own_loss is not None:
            self.own_loss.memory = buffer
        self.target_at = <char *>address(buffer)
        self.weight_at = self.target_at + piece * self.columns * max(item, 8)
        return 0

    @property
    def nbytes(self):
        """Memory of the workspace, in bytes."""
        own = self.work.nbytes + self.target_buffer.nbytes
        return own if self.augmenter is None else own + self.augmenter.nbytes

    @property
    def threads(self):
        """How many may work on a batch."""
        return self.work.run.threads

    @threads.setter
    def threads(self, int threads):
        self.work.run.threads = threads

    def begin(self, order=None):
        """Start a pass over all rows, as they lie or in an order.

        Parameters
        ----------
        order : (rows,) int64 array, optional
            C-contiguous row indices; not looked at again, so nobody may write to it meanwhile.

        Raises
        ------
        ValueError
            For another shape or dtype, or an index out of range.
        """
        self.data.follow(order)
        self.position = 0

    @property
    def order(self):
        """The order of the running pass, or None."""
        return self.data.order

    def reset_sums(self):
        """Start counting steps, rows, loss and metrics anew."""
        self.steps = self.rows_done = 0
        self.loss_sum = self.norm_sum = 0
        self.metric_sums[:] = 0

    def go_on(self, size_t position, size_t steps, size_t rows_done, double loss_sum, double norm_sum,
              double last_loss, metric_sums):
        """Take the place of other batches of the same rows, within the pass that `begin` has started.

        The arguments are the attributes of the others.

        Raises
        ------
        ValueError
            For a position where no batch begins, or sums of another shape; nothing changes then.
        """
        if position > self.rows or (position < self.rows and position % self.batch_size):
            raise ValueError(f"position {position} is not where a batch of {self.batch_size} begins")
        sums = np.array(metric_sums, np.float64)
        expect_shape("metric_sums", sums.shape, self.metric_sums.shape)
        self.position, self.steps, self.rows_done = position, steps, rows_done
        self.loss_sum, self.norm_sum, self.last_loss = loss_sum, norm_sum, last_loss
        self.metric_sums[:] = sums

    def run(self, Py_ssize_t batches, const double[::1] rates=None):
        """Do up to so many batches.

        Parameters
        ----------
        batches : int
        rates : (batches,) float64 array, optional
            The learning rate of each; the rule keeps the last one used.

        Returns
        -------
        bool
            False if a loss, a gradient or a parameter would not have been finite (see `guard`), or a
            part of the user's own has failed: the batch at `position`, which has changed nothing.
        """
        cdef bint good = True
        cdef Py_ssize_t i
        held = self.network.average  # also if another thread compiles meanwhile
        if self.rule is None:
            self.work.run.parameters = self.network.shown_at
        if rates is not None:
            expect_shape("rates", (rates.shape[0],), (batches,))
            if self.rule is None:
                raise ValueError("rates are for training, and there is no rule")
        with nogil:
            if self.rule is not None:
                self.rule.enter(self.work.run.threads)
            for i in range(batches):
                if self.position >= self.rows:
                    break
                if rates is not None:
                    self.rule.settings_at[0] = rates[i]
                good = self.batch()
                if not good:
                    break
            if self.rule is not None:
                self.rule.leave(self.work.run.threads)
        if not good:
            raise_failure(&self.work.run)
            if self.rule is not None:
                self.rule.raise_failure()
        return good

    cdef bint batch(self) noexcept nogil:
        cdef size_t rows = min(self.batch_size, self.rows - self.position), done = 0, n
        cdef double scale = 1.0 / <double>rows, value = 0, penalty
        if self.mean_over_columns:
            scale /= <double>self.columns
        if self.rule is not None:
            self.work.run.step = <uint64_t>self.rule.running_at[0]
            self.guard.begin()
        self.data.begin(self.position, rows, &self.work.run)
        while done < rows:
            n = min(self.piece, rows - done)
            self.work.run.rows, self.work.run.first_row = n, done
            self.work.run.fresh = done == 0
            # A root takes the factor of a piece's mean, n / rows, in under itself as its square.
            value += self.pass_piece(scale * (<double>n / <double>rows) if self.rooted else scale)
            if not isfinite(value):
                return self.fail(value)
            done += n
            if self.moving and done < rows:
                if done == n:
                    memcpy(self.before_at, self.buffers_at, self.buffer_bytes)
                self.network.absorb_statistics(&self.work.run)
        if self.rule is not None:
            penalty = self.network.penalize(True)
            value += penalty
            if not isfinite(value) or not self.guard.step(rows, penalty):
                return self.fail(value)
            self.network.absorb_statistics(&self.work.run)
            self.norm_sum += self.rule.norm
        self.position += rows
        self.rows_done += rows
        self.steps += 1
        self.last_loss = value
        self.loss_sum += value * <double>rows
        return True

    cdef bint fail(self, double value) noexcept nogil:
        """Take back what the pieces before have moved; what a failed batch returns."""
        self.last_loss = value
        if self.moving and self.work.run.first_row:
            memcpy(self.buffers_at, self.before_at, self.buffer_bytes)
        return False

    cdef double pass_piece(self, double scale) noexcept nogil:
        """Forward, loss, metrics and backward of one piece of a batch."""
        cdef cnet_run *run = &self.work.run
        cdef const cnet_kernels *kernels = self.network.kernels
        cdef size_t out = self.network.output_slot, i, n = run.rows, first = self.position + run.first_row
        cdef void *weight = self.weight_at if self.data.weights is not None else NULL
        cdef void *y = NULL
        cdef void *dy = NULL
        cdef double value
        self.data.gather(self.position, run, self.work.input_buffer, self.target_at, weight)
        self.network.forward_ops(run)
        y = run.value[out]
        dy = run.slope[out] if self.rule is not None else NULL
        if self.own_loss is not None:
            value = self.own_loss.value(run, self.network.outputs, self.columns, y, self.target_at,
                                        weight, scale, dy)
        else:
            value = kernels.loss[self.loss.kind](&self.loss, n, self.network.outputs, y,
                                                 self.target_at, weight, scale, dy)
        if run.failure != NULL or not isfinite(value):
            return NAN if run.failure != NULL else value
        if self.rule is not None:
            self.network.backward_ops(run)
            self.guard.look()
        if self.metric_count or self.outputs_at != NULL:
            self.network.finish_linked(run)
            if self.outputs_at != NULL:
                put_rows(<const char *>y, self.network.outputs * self.network.itemsize,
                         self.data.order_at, first, n, self.outputs_at)
                self.restore_outputs(first, n)
            if self.restoring is not None and self.metric_count:
                # What is compared is differences: without the shift, they keep all their digits.
                kernels.restore(n, self.network.outputs, self.restoring.factor_at, NULL, y)
                kernels.restore(n, self.columns, self.restoring.factor_at, NULL, self.target_at)
            for i in range(self.metric_count):
                kernels.metric[self.metric_ids_at[i]](n, self.network.outputs, y, self.target_at,
                                                          weight, self.metric_sums_at + 2 * i)
        return NAN if run.failure != NULL else value

    cdef void restore_outputs(self, size_t first, size_t n) noexcept nogil:
        cdef size_t size = self.network.outputs * self.network.itemsize, i, row
        for i in range(n if self.restoring is not None else 0):
            row = first + i if self.data.order_at == NULL else <size_t>self.data.order_at[first + i]
            self.network.kernels.restore(1, self.network.outputs, self.restoring.factor_at,
                                         self.restoring.shift_at, self.outputs_at + row * size)

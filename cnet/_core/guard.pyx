"""A guard at every update: no parameter and no state of an optimizer becomes NaN or infinite.

Looking at all gradients would cost two percent of a step on a large network, so that is done only
where something may be found. Elsewhere a bound says that all is well: an element of a gradient is
the sum, over the rows of the batch, of a value times the gradient of another, so that rows times
the largest of each bounds them all, and there are far fewer values than products of them.
"""

from cnet._core.csrc cimport cnet_place, cnet_run
from cnet._core.workspace cimport address

# Below this bound a gradient and its square are finite in float32, and so is a step of a rule that is
# tame.
cdef double MOST = 1e15

FAULTS = ("", "gradient", "update")


cdef class Guard:
    """Steps of one rule on one network, with what they are computed from in view.

    Parameters
    ----------
    network : Network
    rule : Rule
    work : Workspace
        That the passes are done in.

    Attributes
    ----------
    fault : int
        Why the last step was not done: SOUND (it was), GRADIENT or UPDATE, a place in FAULTS.
    """

    def __cinit__(self, Network network not None, Rule rule not None, Workspace work not None):
        self.network, self.rule, self.work = network, rule, work
        # Of a small network, gradients are fewer than values; of parts that are not cnet's, nothing
        # is known that would bound them.
        self.size = network.gradients.size
        self.direct = network.operations.foreign or self.size <= <size_t>(work.values + work.slopes)
        # Where there are few of both, one look at all of them, which lie side by side, costs less.
        self.all = (<char *>work.slopes_at - <char *>work.input_buffer) // network.itemsize + work.slopes
        self.few = self.all <= 1024

    cdef void begin(self) noexcept nogil:
        self.fault = SOUND
        # What a normalisation multiplies by is in no slot, but below the root of a width or of the
        # rows of a batch.
        self.value, self.slope = 1e4, 0

    cdef void look(self) noexcept nogil:
        cdef const cnet_run *run = &self.work.run
        if self.direct:
            return
        cdef double most
        # Sums, which are no smaller than the largest, and keep what is not finite.
        if self.few and run.value[0] == self.work.input_buffer:
            most = self.network.kernels.largest(self.all, self.work.input_buffer)
            self.value += most
            self.slope += most
            return
        self.value += self.network.kernels.largest(run.rows * <size_t>self.network.inputs, run.value[0])
        self.value += self.network.kernels.largest(self.work.values, self.work.values_at)
        self.slope += self.network.kernels.largest(self.work.slopes, self.work.slopes_at)

    cdef bint step(self, size_t rows, double penalty) noexcept nogil:
        cdef double most
        if self.direct:
            most = self.network.kernels.largest(self.size, self.network.gradients_at)
        else:
            most = <double>rows * self.value * self.slope + penalty + self.network.most_penalty
        if most < MOST and self.rule.is_tame():
            return self.rule.step(self.work.run.threads)
        return self.careful_step()

    cdef bint careful_step(self) noexcept with gil:
        """Look at every gradient, step, and take the step back if something is not finite after it."""
        cdef Rule rule = self.rule
        cdef bint good
        cdef Py_ssize_t i
        if not self.finite(self.network.gradients_at):
            self.fault = GRADIENT
            return False
        changing = [self.network.parameters, rule.states, rule.running, rule.averaging]
        if rule.own_average is not None:
            changing.append(rule.own_average)
        try:
            kept = [array.copy() for array in changing]
        except MemoryError:
            kept = []  # a step that cannot be taken back is better than none
        good = rule.step(self.work.run.threads)
        if good:
            good = self.finite(self.network.parameters_at)
            for i in range(len(rule.states)):
                good = good and self.finite(address(rule.states[i]))
            self.fault = SOUND if good else UPDATE
        if not good:
            for array, before in zip(changing, kept):
                array[...] = before
            rule.show_average()
        return good

    cdef bint finite(self, const void *values) noexcept nogil:
        """Whether all is finite where the parameters are that steps change."""
        cdef const cnet_place *place
        cdef Py_ssize_t i
        for i in range(self.rule.place_count):
            place = &self.rule.places[i]
            if not place.frozen and self.network.kernels.first_nonfinite(
                    place.size, <const char *>values + place.offset * self.network.itemsize
                    ) < place.size:
                return False
        return True

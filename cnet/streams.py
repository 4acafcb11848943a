"""Data that comes part by part while a run goes on: batches of an iterable, shards of a set."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from cnet import training
from cnet._core.kernels import random_order
from cnet._core.training import Batches
from cnet.arrays import Integers
from cnet.errors import ShapeError, check_flag, check_integer
from cnet.measured import Measured
from cnet.shards import Shards

if TYPE_CHECKING:
    from cnet.model import Sequential

# More batches than any epoch has.
UNBOUNDED = sys.maxsize


def is_stream(x: Any, y: Any) -> bool:
    """Return whether `x` gives batches with their targets, rather than being rows."""
    if isinstance(x, Shards):
        return True
    if y is not None or hasattr(x, "shape") or hasattr(x, "__array__"):
        return False
    if isinstance(x, (list, tuple)):  # of batches, and not the rows of one whose y is missing
        return bool(x) and _is_pair(x[0], (tuple, list))
    return callable(x) or (
        isinstance(x, Iterable) and not isinstance(x, (str, bytes, Mapping, memoryview))
    )


def _is_pair(values: Any, kind: Any) -> bool:
    """Return whether it is (x, y) or (x, y, sample_weight), with rows in x."""
    if not isinstance(values, kind) or len(values) not in (2, 3):
        return False
    return bool(getattr(values[0], "shape", ())) or isinstance(values[0], (list, tuple))


class Stream:
    """Parts of a data set for one run: each is checked and bound when its turn comes.

    A round is one way through all parts.

    Parameters
    ----------
    net : Sequential
    given : Shards, iterable or function
        As `fit` takes it.
    batch_size : int or None
        Rows that are trained at once; None is a whole part.
    accumulate : int
        So many of these make a step.
    shuffle : bool
        Take shards and their rows in the next order that the seed gives. Batches of an iterable
        stay as they come.
    class_weight : dict, optional
    endless : bool
        One round follows the other; unless so, `begin` says when one is over.
    what : str
        Before names in errors, such as "validation ".

    Attributes
    ----------
    ended : str
        Why there will be no other batch; "" while there may be one.
    class_weight : dict or None
        May be written before the first part is checked.
    """

    def __init__(
        self,
        net: Sequential,
        given: Any,
        batch_size: int | None,
        *,
        accumulate: int = 1,
        shuffle: bool = False,
        class_weight: Mapping[int, float] | None = None,
        endless: bool = False,
        what: str = "",
    ) -> None:
        self.ended = ""
        self._net, self._given, self._what = net, given, what
        self._piece = batch_size
        self._size = None if batch_size is None else accumulate * batch_size
        self._shuffle = shuffle and isinstance(given, Shards)
        self.class_weight = class_weight
        self._endless = endless
        self._parts: Iterator[tuple[str, Any]] | None = None
        self._passes = net.passes
        # The first part as it came; and what became of it, until it is begun.
        self._peeked: tuple[str, Any] | None = None
        self._ready: training.Dataset | None = None
        # For checkpoints: the number of the pass before the round, the parts of it that were begun,
        # whether it is over (and whether `begin` is to say so again).
        self._before = net.passes
        self._begun = 0
        self._over = self._again = False

    @property
    def once(self) -> bool:
        """Whether it can be gone through a single time, as a generator."""
        return isinstance(self._given, Iterator)

    def batches(self) -> int | None:
        """Return how many batches a round has, if that is known."""
        if isinstance(self._given, Shards):
            return self._given.batches(self._size)
        if self._size is not None or not hasattr(self._given, "__len__"):
            return None
        try:
            return len(self._given) or None
        except TypeError:  # a DataLoader of an IterableDataset
            return None

    def first_x(self) -> Any:
        """Return x of the first part, which says what a row looks like."""
        self._peeked = self._take()
        return self._peeked[1][0] if self._peeked is not None else None

    def first(self) -> training.Dataset:
        """Check the first part and return it; `begin` starts with it.

        Raises
        ------
        as `Sequential.fit`
        """
        if self._ready is None:
            peeked, self._peeked = self._peeked or self._take(), None
            assert peeked is not None  # a round without parts is an error
            self._ready = self._checked(*peeked)
        return self._ready

    def sample(self) -> training.Dataset:
        """Return a part that is the same one whatever the order."""
        if self._shuffle:
            return self._checked("shards[0]", self._given.load(0))
        return self.first()

    def parts(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield what to call a part, its x and its y, of one round as it comes."""
        found, self._peeked = self._peeked or self._take(), None
        while found is not None:
            yield f"{found[0]}: ", found[1][0], found[1][1]
            found = self._take()

    def size(self, data: training.Dataset) -> int:
        """Return how many rows of a part make a step."""
        return min(self._size or data.rows, data.rows)

    def begin(self, work: Batches) -> bool:
        """Bind the next part, and start with it; False at the end of a round.

        Raises
        ------
        as `Sequential.fit`, and whatever the user's own code raises
        """
        if self._again:
            self._again = False
            return False
        data, self._ready = self._ready, None
        self._over = False
        if data is None:
            if isinstance(work, Measured):
                work.close()  # the user's code may write the next batch where the last one was
            part = self._take()
            if part is None and self._endless:
                if self.once:
                    self.ended = "the iterator has no more batches"
                else:
                    part = self._take()
            if part is None:
                self._over = True
                return False
            data = self._checked(*part)
            training.rebind(self._net, work, data, self.size(data))
        work.begin(self._order(data.rows))
        self._begun += 1
        if self._shuffle:
            self._net.passes = self._passes
        return True

    def restart(self) -> None:
        """Begin the next round with its first part, wherever this one is."""
        if self._ready is None:
            self._parts = None

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes: how far the round is."""
        if self._begun == 0:
            return {"passes": self._net.passes, "begun": 0, "over": self._over}
        return {"passes": self._before, "begun": self._begun, "over": False}

    def restore(self, state: Mapping[str, Any], work: Batches, underway: bool) -> bool:
        """Go to where another stream was, through the parts before; whether one is under way.

        Raises
        ------
        ValueError
            If there are not so many parts.
        as `begin`
        """
        begun = check_integer("begun", state["begun"], 0)
        self._passes = check_integer("passes", state["passes"], 0)
        self._over = check_flag("over", state["over"])
        self._again = self._over and underway
        self._parts = self._peeked = self._ready = None
        if not begun:
            return False
        self._parts = self._round(begun - 1)
        part = self._take()
        if part is None:
            raise ValueError(f"x gave {begun} batches or more, but now there are less")
        data = self._checked(*part)
        training.rebind(self._net, work, data, self.size(data))
        work.begin(self._order(data.rows))
        self._begun = begun
        return True

    def _order(self, count: int) -> Integers | None:
        if not self._shuffle:
            return None
        self._passes += 1
        order: Integers = random_order(self._net.seed, "order", self._passes - 1, count)
        return order

    def _round(self, done: int = 0) -> Iterator[tuple[str, Any]]:
        """Return the parts of a round, each with its name, but for those that are done already."""
        given = self._given
        self._before, self._begun = self._passes, 0
        if isinstance(given, Shards):
            order = self._order(len(given))
            numbers = list(range(len(given))) if order is None else order.tolist()
            if order is not None:
                self._passes += done  # each of them has had an order of its rows
            numbers = numbers[done:]
            return ((f"shards[{number}]", given.load(number)) for number in numbers)
        found = given() if callable(given) and not isinstance(given, Iterable) else given
        if not isinstance(found, Iterable):
            raise TypeError(
                f"x is a function that returned {found!r}, expected an iterable of (x, y) batches"
            )
        parts = islice(found, done, None)
        return ((f"batch {number}", part) for number, part in enumerate(parts, done + 1))

    def _take(self) -> tuple[str, Any] | None:
        """Return the next part and its name; None after the last one of a round."""
        fresh = self._parts is None
        if self._parts is None:
            self._parts = self._round()
        found = next(self._parts, None)
        if found is None:
            self._parts, self._begun = None, 0
            if fresh:
                raise ValueError(
                    f"{self._what}x gives no batches; a generator that has been gone through gives "
                    "no more: make a new one, or pass the function that makes it"
                )
            return None
        name, part = found
        if not isinstance(part, (tuple, list)) or len(part) not in (2, 3):
            got = f"{len(part)} items" if isinstance(part, (tuple, list)) else type(part).__name__
            raise TypeError(
                f"{self._what}{name} must be (x, y) or (x, y, sample_weight), got {got}"
            )
        return name, part

    def _checked(self, name: str, part: Any) -> training.Dataset:
        net, what = self._net, f"{self._what}{name}: "
        x, y, *weights = part
        weight = weights[0] if weights else None
        data = training.prepare(net, x, y, weight, what, self.class_weight)
        if not self._what:  # only training has batches that may be too small
            try:
                net.built.check_batches(data.rows, min(self._piece or data.rows, data.rows))
            except ShapeError as error:
                raise ShapeError(f"{what}{error}") from None
        return data


def for_training(
    net: Sequential,
    x: Any,
    y: Any,
    sample_weight: Any,
    *,
    batch_size: int | None,
    accumulate: int,
    shuffle: bool,
    epochs: int,
    steps_per_epoch: int | None,
    validation_split: float,
    class_weight: Any,
) -> Stream | None:
    """Return the stream that `fit` was given, or None if it was given rows.

    Raises
    ------
    TypeError, ValueError
        For what a stream does not go together with.
    """
    if not is_stream(x, y):
        return None
    kind = f"x is a {type(x).__name__}"
    if y is not None or sample_weight is not None:
        name = "y" if y is not None else "sample_weight"
        raise ValueError(
            f"{kind}, whose parts are (x, y) or (x, y, sample_weight): leave {name} out"
        )
    if validation_split:
        raise ValueError(
            f"{kind}, which has no last rows to cut off: give validation_data instead of "
            "validation_split"
        )
    if isinstance(class_weight, str):
        raise ValueError(
            f"{kind}, whose rows cannot be counted before they come: class_weight must be a dict "
            f"such as {{0: 1.0, 1: 5.0}}, got {class_weight!r}"
        )
    if accumulate > 1 and not isinstance(x, Shards):
        raise ValueError(
            f"{kind}, each of whose batches is a step of its own, so that accumulate={accumulate} "
            "has nothing to add up: pass arrays or cnet.Shards"
        )
    stream = Stream(
        net,
        x,
        batch_size,
        accumulate=accumulate,
        shuffle=shuffle,
        class_weight=class_weight,
        endless=steps_per_epoch is not None,
    )
    if stream.once and steps_per_epoch is None and epochs > 1:
        raise ValueError(
            f"{kind}, which can be gone through once, but epochs is {epochs}: give "
            "steps_per_epoch, or something that can be gone through again (a list, a DataLoader, "
            "the function that makes the generator)"
        )
    schedule = net.compiled.optimizer.schedule
    if schedule is not None and steps_per_epoch is None and stream.batches() is None:
        try:
            schedule.check(epochs=False)
        except ValueError:
            raise ValueError(
                f"{kind}, which does not say how many batches it has, and the schedule of the "
                "learning rate counts epochs: give steps_per_epoch, or use per='step'"
            ) from None
    return stream


def for_evaluation(net: Sequential, given: Any, what: str = "", times: int = 1) -> Stream | None:
    """Return a stream that is to be evaluated so many times, or None if it is something else.

    Raises
    ------
    ValueError
        For an iterator that is wanted more than once.
    """
    if given is None or not is_stream(given, None):
        return None
    if isinstance(given, (tuple, list)) and len(given) in (2, 3) and not _is_pair(given[0], tuple):
        return None  # (x, y), where x is a list of rows
    stream = Stream(net, given, training.EVALUATION_ROWS, what=what)
    if stream.once and times > 1:
        raise ValueError(
            f"{what}data is a {type(given).__name__}, which can be gone through once, but there "
            f"are {times} epochs: give arrays, a list of batches, or the function that makes it"
        )
    return stream


def evaluate(net: Sequential, stream: Stream, work: Batches) -> dict[str, float]:
    """Return loss and metrics over a round, without training."""
    work.reset_sums()
    stream.restart()
    slices = training.Slices()
    while stream.begin(work):
        while work.position < work.rows:
            if not slices.run(work, UNBOUNDED):
                return training.not_finite(net, work)
    return training.figures(net, work, work.rows_done, training=False)


def evaluate_once(net: Sequential, stream: Stream, threads: int) -> dict[str, float]:
    """Do the same with a stream that nothing was bound to before."""
    work = training.batches(net, stream.first(), training.EVALUATION_ROWS, None, threads)
    return evaluate(net, stream, work)

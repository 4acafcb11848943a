"""Penalties on the size of weights, by name and as objects with settings."""

from __future__ import annotations

from cnet.description import Description
from cnet.errors import check_named, check_number


class Regularizer(Description):
    """Adds l1 sum(abs(w)) + l2 sum(w^2) to the loss.

    Keras's definition: the gradient of the second term is 2 l2 w, and nothing is divided by the
    number of weights or rows.

    Raises
    ------
    ValueError, TypeError
        For a factor that is no finite number of at least 0.
    """

    def __post_init__(self) -> None:
        for name in self.fields:
            self._set(name, check_number(name, getattr(self, name), 0))

    @property
    def factors(self) -> tuple[float, float]:
        """l1 and l2, 0 where there is none."""
        return getattr(self, "l1", 0.0), getattr(self, "l2", 0.0)


class L1(Regularizer):
    """Adds l1 sum(abs(w)): weights of little use end near zero (the lasso's penalty)."""

    l1: float = 0.01


class L2(Regularizer):
    """Adds l2 sum(w^2): weights stay small (the ridge's penalty)."""

    l2: float = 0.01


class L1L2(Regularizer):
    """Adds both, the elastic net's penalty (Zou and Hastie, 2005)."""

    l1: float = 0.01
    l2: float = 0.01


RegularizerLike = str | Regularizer

_NAMES: dict[str, Regularizer] = {"l1": L1(), "l2": L2(), "l1_l2": L1L2()}


def names() -> tuple[str, ...]:
    """Return the names of all penalties."""
    return tuple(_NAMES)


def get(regularizer: RegularizerLike | None, argument: str = "") -> Regularizer | None:
    """Return the penalty of a name; None stays None.

    Parameters
    ----------
    argument : str
        What it was given as, for errors.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, or what is no penalty.
    """
    example = "cnet.regularizers.L2(1e-4)"
    what = f"{argument}: a regularizer is" if argument else "a regularizer is"
    found: Regularizer | None = check_named(
        what, "regularizer", regularizer, Regularizer, _NAMES, example
    )
    return found

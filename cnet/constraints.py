"""What weights are held to: after every step of the optimizer they are moved to where it is so."""

from __future__ import annotations

from abc import ABC, abstractmethod

from cnet.description import Description
from cnet.errors import check_named, check_number


class Constraint(Description, ABC):
    """What every constraint has. First weights, and those that a user sets, stay as they are."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """Its name in `cnet._core.rules.Rule`."""

    @property
    def limit(self) -> float:
        """Its one number, 0 if it has none."""
        return 0.0


class MaxNorm(Constraint):
    """The weights that lead to a unit have a norm of at most `max_value` (Srivastava et al., 2014).

    Of W (inputs, units) a column whose Euclidean norm is above it is scaled down to it, as
    `keras.constraints.MaxNorm(max_value, axis=0)` does (which takes 1e-7 off besides); of a bias it
    is the norm of the whole.

    Parameters
    ----------
    max_value : float
        Above 0.

    Raises
    ------
    ValueError, TypeError
    """

    max_value: float = 3.0

    def __post_init__(self) -> None:
        self._set("max_value", check_number("max_value", self.max_value, 0, above=True))

    @property
    def kind(self) -> str:
        return "max_norm"

    @property
    def limit(self) -> float:
        return self.max_value


class NonNegative(Constraint):
    """No weight is below 0: what is becomes 0, as `keras.constraints.NonNeg` does."""

    @property
    def kind(self) -> str:
        return "non_negative"


ConstraintLike = str | Constraint

_NAMES: dict[str, Constraint] = {"max_norm": MaxNorm(), "non_negative": NonNegative()}


def names() -> tuple[str, ...]:
    """Return the names of all constraints."""
    return tuple(_NAMES)


def get(constraint: ConstraintLike | None, argument: str = "") -> Constraint | None:
    """Return the constraint of a name; None stays None.

    Parameters
    ----------
    argument : str
        What it was given as, for errors.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, or what is no constraint.
    """
    example = "cnet.constraints.MaxNorm(3.0)"
    what = f"{argument}: a constraint is" if argument else "a constraint is"
    found: Constraint | None = check_named(
        what, "constraint", constraint, Constraint, _NAMES, example
    )
    return found

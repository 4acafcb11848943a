"""What all optimizers have: frozen descriptions with Keras's field names.

An optimizer says how a step is made; the state that it carries from step to step belongs to the
network that it trains, so one description may serve many networks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from cnet import rates
from cnet.description import Description
from cnet.errors import check_choice, check_flag, check_number
from cnet.rates import RateLike, Schedule

# The settings that cut gradients, and what they cut by.
CLIPS = {"clipvalue": "value", "clipnorm": "norm", "global_clipnorm": "global_norm"}

# Which parameters weight decay is for.
DECAYING = ("all", "kernels")


class Optimizer(Description, ABC, kw_only=True):
    """What every optimizer has.

    Parameters
    ----------
    learning_rate : float, Schedule or callable
        Size of a step; each class has its own default. Instead of a number, a schedule of
        `cnet.schedules`, or a function of the number of steps done.
    weight_decay : float
        Times the parameter, added to its gradient (as in PyTorch).
    decoupled_weight_decay : bool
        Instead shrink the parameter by learning_rate * weight_decay before the step (Loshchilov and
        Hutter, 2019).
    weight_decay_on : {"all", "kernels"}
        Which parameters decay: all (as in PyTorch), or the matrices only, so that biases and the
        gamma and beta of normalisations do not. What `compile(groups=...)` says comes before it.
    clipvalue : float, optional
        Cut every number of the gradients to -clipvalue..clipvalue before the step.
    clipnorm : float, optional
        Scale each parameter's gradient down to this Euclidean norm where it is above.
    global_clipnorm : float, optional
        Scale all gradients together down to this norm of all of them where it is above (Pascanu,
        Mikolov and Bengio, 2013; as `torch.nn.utils.clip_grad_norm_`). Only one of the three.
    """

    learning_rate: RateLike = 0.01
    weight_decay: float = 0.0
    decoupled_weight_decay: bool = False
    weight_decay_on: str = "all"
    clipvalue: float | None = None
    clipnorm: float | None = None
    global_clipnorm: float | None = None

    def __post_init__(self) -> None:
        if callable(self.learning_rate):
            # A schedule, or what becomes one: the user's own function.
            self._set("learning_rate", rates.get(self.learning_rate))
        else:
            check_number("learning_rate", self.learning_rate, 0)
        check_number("weight_decay", self.weight_decay, 0)
        check_choice("weight_decay_on", self.weight_decay_on, DECAYING)
        clips = [n for n in CLIPS if getattr(self, n) is not None]
        if len(clips) > 1:
            raise ValueError(f"give one of {' and '.join(clips)}: gradients are cut once")
        for name in clips:
            check_number(name, getattr(self, name), 0, above=True)
        for name in ("decoupled_weight_decay", "nesterov", "centered"):
            if hasattr(self, name):
                check_flag(name, getattr(self, name))
        for name in ("momentum", "rho", "beta_1", "beta_2"):
            if hasattr(self, name):
                check_number(name, getattr(self, name), 0, 1, below=True)
        for name in ("epsilon", "learning_rate_decay", "initial_accumulator", "momentum_decay"):
            if hasattr(self, name):
                check_number(name, getattr(self, name), 0)

    @property
    @abstractmethod
    def rule(self) -> str:
        """Name of the row in csrc/optimizers.h."""

    @property
    def schedule(self) -> Schedule | None:
        """The schedule of the learning rate; None if that is a number."""
        return self.learning_rate if isinstance(self.learning_rate, Schedule) else None

    def call(self, parameters: Any) -> Any:
        """Return what the compiled loop calls instead of a row: nothing, but for `cnet.custom`."""
        return None

    def settings(self) -> list[float]:
        """Return the eight numbers of `cnet._core.optimizers.update`, in its order.

        Where there is a schedule, the first is set before every step.
        """
        decay = float(self.weight_decay)
        own = [float(v) for v in self._own()]
        return [
            0.0 if callable(self.learning_rate) else float(self.learning_rate),
            0.0 if self.decoupled_weight_decay else decay,
            decay if self.decoupled_weight_decay else 0.0,
            *own,
            *(5 - len(own)) * [0.0],
        ]

    @property
    def clip(self) -> tuple[str, float]:
        """How gradients are cut, as `cnet._core.rules.Rule` takes it."""
        for name, by in CLIPS.items():
            limit = getattr(self, name)
            if limit is not None:
                return by, float(limit)
        return "nothing", 0.0

    @property
    def takes_norm(self) -> bool:
        """Whether gradients are cut by a norm, which the history then records."""
        return self.clip[0] in ("norm", "global_norm")

    def _own(self) -> tuple[float, ...]:
        """Return beta_1 (or momentum, rho), beta_2, epsilon and the rule's extra settings."""
        beta_1, beta_2, epsilon = (getattr(self, n, 0.0) for n in ("beta_1", "beta_2", "epsilon"))
        return (beta_1, beta_2, epsilon, 0.0)

    @property
    def fill(self) -> float:
        """What the first state starts with."""
        return 0.0

    @property
    def takes_matrices(self) -> bool:
        """Whether the rule treats hidden matrices as matrices."""
        return False

    @property
    def history(self) -> int:
        """States beyond those of the rule, of a minimiser of the whole set (`cnet.lbfgs`)."""
        return 0

    @property
    def takes_whole_set(self) -> bool:
        """Whether a step needs the loss of all rows, several times over."""
        return self.history > 0

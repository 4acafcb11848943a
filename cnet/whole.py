"""Optimizers that look at more than a number at a time: at matrices, or at all of the set."""

from __future__ import annotations

from cnet.errors import check_integer, check_number
from cnet.optimizer import CLIPS, Optimizer
from cnet.rates import RateLike


class Muon(Optimizer):
    """Jordan (2024), `torch.optim.Muon`: steps of hidden matrices are made orthogonal.

    v = momentum v + (1 - momentum) g;  u = (1 - momentum) g + momentum v;  W -= learning_rate
    sqrt(max(1, units / inputs)) U V^T, where U S V^T is the singular value decomposition of u: its
    singular values become about 1, by five Newton-Schulz iterations. Weight decay is decoupled.

    Hidden matrices are the weights of `Dense` layers between the first and the last one. All other
    parameters are AdamW's, as the author has it, with `learning_rate` times `adamw_factor`: a
    network of fewer than three `Dense` layers is trained by AdamW alone.
    """

    learning_rate: RateLike = 0.02
    momentum: float = 0.95
    adamw_factor: float = 0.015
    beta_1: float = 0.9
    beta_2: float = 0.95
    epsilon: float = 1e-10
    decoupled_weight_decay = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("adamw_factor", self.adamw_factor, 0)

    @property
    def rule(self) -> str:
        return "muon"

    def _own(self) -> tuple[float, ...]:
        return (self.beta_1, self.beta_2, self.epsilon, self.momentum, self.adamw_factor)

    @property
    def takes_matrices(self) -> bool:
        return True


class LBFGS(Optimizer):
    """Liu and Nocedal (1989), as `torch.optim.LBFGS(line_search_fn="strong_wolfe")`.

    Quasi-Newton steps on the whole set, for small networks and data: `fit(..., batch_size=None)`,
    where an epoch is an iteration. Each computes the loss and its gradient once or a few times,
    until the strong Wolfe conditions hold (Nocedal and Wright, 2006, algorithms 3.5 and 3.6). `fit`
    ends when no gradient is above `gradient_tolerance`, or no lower loss is to be found.

    Parameters
    ----------
    learning_rate : float
        The length, in quasi-Newton steps, that a line search tries first.
    memory : int
        Pairs of steps and changes of the gradient that are kept.
    gradient_tolerance : float
    weight_decay : float
        Adds weight_decay / 2 times the parameters' sum of squares to what is minimised; the
        reported loss is without.
    """

    learning_rate: RateLike = 1.0
    memory: int = 10
    gradient_tolerance: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("memory", self.memory, 1)
        check_number("gradient_tolerance", self.gradient_tolerance, 0)
        if self.schedule is not None:
            raise ValueError(
                f"LBFGS searches the length of every step itself; learning_rate must be a number, "
                f"the length that it tries first, got {self.learning_rate!r}"
            )
        if self.decoupled_weight_decay:
            raise ValueError(
                "LBFGS minimises one function, which decoupled_weight_decay=True is no part of; "
                "leave it out, and weight_decay counts as a penalty"
            )
        for name in CLIPS:
            if getattr(self, name) is not None:
                raise ValueError(
                    f"LBFGS needs gradients as they are, got {name}={getattr(self, name)!r}; leave "
                    "it out: the line search keeps steps from being too long"
                )

    @property
    def rule(self) -> str:
        return "sgd"

    @property
    def history(self) -> int:
        return 2 * self.memory

"""Update rules: optimizers with Keras's field names and PyTorch's definitions."""

from __future__ import annotations

from cnet.errors import check_integer, check_number, unknown
from cnet.optimizer import Optimizer
from cnet.rates import RateLike
from cnet.whole import LBFGS, Muon


class SGD(Optimizer):
    """Gradient descent, plain, with momentum or Nesterov's: `torch.optim.SGD`.

    v = momentum v + g;  p -= learning_rate v,  with Nesterov p -= learning_rate (g + momentum v).
    """

    learning_rate: RateLike = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True needs momentum above 0, got momentum=0")

    @property
    def rule(self) -> str:
        if not self.momentum:
            return "sgd"
        return "sgd_nesterov" if self.nesterov else "sgd_momentum"

    def _own(self) -> tuple[float, float, float, float]:
        return (self.momentum, 0.0, 0.0, 0.0)


class AdaGrad(Optimizer):
    """Duchi et al. (2011), `torch.optim.Adagrad`: s += g^2;  p -= rate g / (sqrt(s) + epsilon).

    The rate is learning_rate / (1 + (t - 1) learning_rate_decay) at step t.
    """

    learning_rate: RateLike = 0.01
    learning_rate_decay: float = 0.0
    initial_accumulator: float = 0.0
    epsilon: float = 1e-10

    @property
    def rule(self) -> str:
        return "adagrad"

    def _own(self) -> tuple[float, float, float, float]:
        return (0.0, 0.0, self.epsilon, self.learning_rate_decay)

    @property
    def fill(self) -> float:
        return self.initial_accumulator


class AdaDelta(Optimizer):
    """Zeiler (2012), `torch.optim.Adadelta`: steps scaled by the size of earlier steps."""

    learning_rate: RateLike = 1.0
    rho: float = 0.9
    epsilon: float = 1e-6

    @property
    def rule(self) -> str:
        return "adadelta"

    def _own(self) -> tuple[float, float, float, float]:
        return (self.rho, 0.0, self.epsilon, 0.0)


class RMSprop(Optimizer):
    """Hinton (2012), `torch.optim.RMSprop`.

    s = rho s + (1 - rho) g^2;  p -= learning_rate g / (sqrt(s) + epsilon).

    `centered` takes the mean gradient's square off s; `momentum` accumulates the steps. `rho` is
    PyTorch's `alpha`.
    """

    learning_rate: RateLike = 0.01
    rho: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False

    @property
    def rule(self) -> str:
        return "rmsprop" + "_centered" * bool(self.centered) + "_momentum" * bool(self.momentum)

    def _own(self) -> tuple[float, float, float, float]:
        return (self.rho, 0.0, self.epsilon, self.momentum)


class Adam(Optimizer):
    """Kingma and Ba (2015), `torch.optim.Adam`, bias-corrected."""

    learning_rate: RateLike = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    @property
    def rule(self) -> str:
        return "adam"


class AdamW(Adam):
    """Loshchilov and Hutter (2019), `torch.optim.AdamW`: Adam with decoupled weight decay."""

    weight_decay = 0.01
    decoupled_weight_decay = True


class AMSGrad(Adam):
    """Reddi et al. (2018), `torch.optim.Adam(amsgrad=True)`: the largest second moment so far."""

    @property
    def rule(self) -> str:
        return "amsgrad"


class Adamax(Adam):
    """Kingma and Ba (2015), `torch.optim.Adamax`: Adam with the infinity norm."""

    learning_rate: RateLike = 0.002

    @property
    def rule(self) -> str:
        return "adamax"


class Nadam(Adam):
    """Dozat (2016), `torch.optim.NAdam`: Adam with Nesterov's momentum.

    `momentum_decay` is the psi of beta_1 (1 - 0.96^(t psi) / 2).
    """

    learning_rate: RateLike = 0.002
    momentum_decay: float = 0.004

    @property
    def rule(self) -> str:
        return "nadam"

    def _own(self) -> tuple[float, float, float, float]:
        return (self.beta_1, self.beta_2, self.epsilon, self.momentum_decay)


class Lion(Optimizer):
    """Chen et al. (2023), algorithm 2: the sign of an interpolated momentum; decay is decoupled."""

    learning_rate: RateLike = 1e-4
    beta_1: float = 0.9
    beta_2: float = 0.99
    decoupled_weight_decay = True

    @property
    def rule(self) -> str:
        return "lion"


class ScheduleFreeAdamW(Adam):
    """Defazio et al. (2024), `schedulefree.AdamWScheduleFree`: AdamW that needs no schedule.

    The parameters x are the mean of AdamW's steps z. Gradients are taken at y = (1 - beta_1) z +
    beta_1 x, at which `fit` and `train_on_batch` have the parameters while they compute, and so
    have `forward(x, training=True)` and the `backward` after it; at all other times, callbacks and
    validation included, they are x. The loss and the metrics of training rows are those at y.

    The learning rate rises in a line within the first `warmup_steps` steps; a step counts in the
    mean as the square of the largest rate so far. Decoupled weight decay shrinks z towards 0 by
    the rate times the decay times y.
    """

    learning_rate: RateLike = 0.0025
    decoupled_weight_decay = True
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("warmup_steps", self.warmup_steps, 0)

    @property
    def rule(self) -> str:
        return "schedule_free_adamw"

    def _own(self) -> tuple[float, float, float, float]:
        return (self.beta_1, self.beta_2, self.epsilon, float(self.warmup_steps))


class Rprop(Optimizer):
    """Igel and Huesken (2003), iRprop-, `torch.optim.Rprop`: steps by the gradient's sign alone.

    For batches that are the whole set. Every parameter has a step of its own, which is
    `learning_rate` at first; it is multiplied by `eta_plus` while the sign stays and by `eta_minus`
    when it turns (the parameter then stays for once), within `min_step` and `max_step`. A learning
    rate that changes later scales all steps.
    """

    learning_rate: RateLike = 0.01
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    min_step: float = 1e-6
    max_step: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("eta_minus", self.eta_minus, 0, 1, above=True, below=True)
        check_number("eta_plus", self.eta_plus, 1, above=True)
        check_number("min_step", self.min_step, 0)
        check_number("max_step", self.max_step, 0, above=True)
        if self.min_step > self.max_step:
            raise ValueError(f"min_step is {self.min_step}, above max_step, {self.max_step}")

    @property
    def rule(self) -> str:
        return "rprop"

    def _own(self) -> tuple[float, float, float, float]:
        return (self.eta_minus, self.eta_plus, self.min_step, self.max_step)

    @property
    def fill(self) -> float:
        return 1.0


_CLASSES: dict[str, type[Optimizer]] = {
    cls.__name__.lower(): cls
    for cls in (
        SGD,
        AdaGrad,
        AdaDelta,
        RMSprop,
        Adam,
        AdamW,
        AMSGrad,
        Adamax,
        Nadam,
        Lion,
        Rprop,
        ScheduleFreeAdamW,
        Muon,
        LBFGS,
    )
}


def names() -> tuple[str, ...]:
    """Return the names of all optimizers."""
    return tuple(_CLASSES)


def get(optimizer: str | Optimizer) -> Optimizer:
    """Return the optimizer of a name with its default settings; an optimizer is itself.

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        For anything else, such as a class instead of an object.
    """
    if isinstance(optimizer, str):
        if optimizer.lower() not in _CLASSES:
            raise unknown("optimizer", optimizer, _CLASSES)
        return _CLASSES[optimizer.lower()]()
    if isinstance(optimizer, Optimizer):
        return optimizer
    raise TypeError(f"optimizer must be a name or an object such as cnet.Adam(), got {optimizer!r}")

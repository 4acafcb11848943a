"""An activation for cnet whose functions are compiled."""

import cnet
from swoosh._kernels import KERNELS


class Swoosh(cnet.custom.CompiledActivation):
    """x sigmoid(beta x) (Ramachandran, Zoph and Le, 2017); `silu` is the one with beta = 1.

    Parameters
    ----------
    beta : float
        How sharp the bend is.
    """

    beta: float = 1.0
    kernels = KERNELS

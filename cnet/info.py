"""What this installation is made of and what it found on the machine."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from cnet._core import kernels
from cnet.threads import available_cpus, get_threads
from cnet.version import __version__


class Info(dict[str, Any]):
    """A dict that prints as a table."""

    def __repr__(self) -> str:
        width = max(map(len, self))
        return "\n".join(f"{key:<{width}}  {value}" for key, value in self.items())

    __str__ = __repr__


def info() -> Info:
    """Return version, instruction set, BLAS and threads; it prints as a table.

    Returns
    -------
    dict
        "cnet", "python", "numpy": versions. "isa": the instruction set in use;
        "isas": those that this build has and this machine runs, best first (`CNET_ISA` forces one).
        "blas": OpenBLAS's description of itself, or None where the package's own kernels do all.
        "threads": how many a call uses (`set_threads`); "cpus": how many it might.
    """
    return Info(
        cnet=__version__,
        python=".".join(map(str, sys.version_info[:3])),
        numpy=np.__version__,
        isa=kernels.isa(),
        isas=kernels.supported_isas(),
        blas=kernels.blas_version(),
        threads=get_threads(),
        cpus=available_cpus(),
    )

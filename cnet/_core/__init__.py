"""Compiled modules over the C kernels: typed, documented, callable on their own.

Every function here checks shapes and dtypes, releases the GIL around the kernel and works on
C-contiguous float32 or float64 arrays (all of one call alike); what it writes is passed in. Their
users are cnet itself, its tests and benchmarks, and anyone who needs a part without the rest.

========== ==============================================================================
kernels    instruction sets, OpenBLAS, vector mathematics, products, random numbers, gather
activations  every activation's forward and backward
dense      a dense layer's forward and backward
losses     every loss's value and gradient
optimizers every update rule
network    a whole network: one program that runs forward, backward and update
========== ==============================================================================
"""

import sys
from collections.abc import Sequence
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    ModuleSpec,
    PathFinder,
)
from importlib.util import spec_from_file_location
from types import ModuleType

MODULES = (
    "activations", "arena", "augment", "dense", "foreign", "guard", "inference", "kernels",
    "losses", "network", "noise", "operations", "optimizers", "routes", "rows", "rules", "sources",
    "statistics", "training", "workspace", "_cyutility",
)  # fmt: skip


class _Library:
    """Finds the compiled modules: all of them are in the file of `kernels`.

    A file may have several modules, but Python looks for no other than the one that it is named
    after (PEP 489).
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = name.rpartition(".")
        if package != __name__ or module not in MODULES:
            return None
        kernels = PathFinder.find_spec(f"{package}.kernels", path)
        if kernels is None or kernels.origin is None:
            raise ImportError(
                f"cnet's compiled modules, kernels{EXTENSION_SUFFIXES[-1]} or the like, are not in "
                f"{', '.join(path or __path__)}: install cnet with pip, into a folder, not a zip "
                "file; in a checkout, build them by pip install -e .",
                name=name,
            )
        loader = ExtensionFileLoader(name, kernels.origin)
        return spec_from_file_location(name, kernels.origin, loader=loader)


sys.meta_path.append(_Library)

"""Builds the compiled half of cnet; everything else about the package is in pyproject.toml.

Environment variables read here and nowhere else (they change the build, never a result):

CNET_DEBUG=1      -O1 -g, no optimisation that hides a fault, bounds checks in the Cython modules.
CNET_COVERAGE=1   line tracing in the Cython modules, for coverage; gives up the stable ABI.
CNET_SANITIZE=1   AddressSanitizer and UndefinedBehaviorSanitizer (GCC or Clang).
"""

import os
import platform
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("CNET_DEBUG") == "1"
COVERAGE = os.environ.get("CNET_COVERAGE") == "1"
SANITIZE = os.environ.get("CNET_SANITIZE") == "1"
# Free-threaded CPython has no stable ABI, and line tracing needs the full one.
STABLE_ABI = not COVERAGE and not sysconfig.get_config_var("Py_GIL_DISABLED")
WINDOWS = sys.platform == "win32"

MODULES = [
    "kernels", "activations", "dense", "losses", "optimizers", "sources", "network", "training",
]

PLAIN_FILES = ["dispatch", "names", "optimizers", "random", "sources"]
# The instruction set's own flags, per file; the template behind them is the same.
INSTRUCTION_SETS = {
    "x86_64": {
        "baseline": [],
        "avx2": ["-mavx2", "-mfma"],
        "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"],
    },
    "aarch64": {"baseline": [], "neon": []},
}
# Vectorisation wants -O3, and these two: without them GCC keeps loops scalar for the sake of errno
# and of floating-point exceptions, which nobody reads here. Never -ffast-math: it breaks NaN and,
# at link time, switches denormals off for the whole process.
KERNEL_FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math"]
DEBUG_FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-wrapv"]
SANITIZE_FLAGS = [*DEBUG_FLAGS, "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def common_flags() -> list[str]:
    if SANITIZE:
        return SANITIZE_FLAGS
    if DEBUG:
        return DEBUG_FLAGS
    return ["-O2", "-g0"]


def machine() -> str:
    """The architecture that is built for, which need not be the one that builds."""
    name = (os.environ.get("ARCHFLAGS", "").rpartition(" ")[2] or platform.machine()).lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


class BuildExt(build_ext):
    """Compiles the kernels once per instruction set and links them into one module only."""

    def build_extensions(self) -> None:
        if WINDOWS and self.compiler.compiler_type == "msvc":
            # The kernels use GCC's vector types, which MSVC lacks and Clang has.
            self.compiler.initialize()
            self.compiler.cc = "clang-cl"
        kernels = next(e for e in self.extensions if e.name == "cnet._core.kernels")
        kernels.extra_objects = self.compile_kernels()
        super().build_extensions()

    def compile_kernels(self) -> list[str]:
        sets = INSTRUCTION_SETS.get(machine(), {"baseline": []})
        files = {f"csrc/isa_{name}.c": flags for name, flags in sets.items()}
        files |= {f"csrc/{name}.c": [] for name in PLAIN_FILES}
        standard = [] if WINDOWS else ["-std=gnu11", "-fvisibility=hidden"]
        optimise = common_flags() if DEBUG or SANITIZE else ["-g0", *KERNEL_FLAGS]

        # Objects of another kind of build are not mistaken for this one's.
        kind = "sanitize" if SANITIZE else "debug" if DEBUG else "release"
        folder = str(Path(self.build_temp) / kind)
        newest = max(p.stat().st_mtime for p in [*Path("csrc").iterdir(), Path(__file__)])

        def compile_one(file: str) -> list[str]:
            objects: list[str] = self.compiler.object_filenames([file], output_dir=folder)
            if not self.force and all(
                os.path.exists(o) and os.path.getmtime(o) > newest for o in objects
            ):
                return objects
            self.compiler.compile(
                [file],
                output_dir=folder,
                include_dirs=["csrc"],
                extra_postargs=[*standard, *optimise, *files[file]],
            )
            return objects

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return [o for objects in pool.map(compile_one, files) for o in objects]


class BdistWheel(bdist_wheel):
    """One wheel per platform serves every CPython from 3.11 on."""

    def finalize_options(self) -> None:
        if STABLE_ABI:
            self.py_limited_api = "cp311"
        super().finalize_options()


def extensions() -> list[Extension]:
    macros: list[tuple[str, str | None]] = []
    if STABLE_ABI:
        macros.append(("Py_LIMITED_API", "0x030B0000"))
    if COVERAGE:
        macros.append(("CYTHON_TRACE_NOGIL", "1"))
    link = ["-fsanitize=address,undefined"] if SANITIZE else []
    if not (WINDOWS or DEBUG or SANITIZE or sys.platform == "darwin"):
        link = ["-Wl,-s"]
    return [
        Extension(
            f"cnet._core.{name}",
            [f"cnet/_core/{name}.pyx"],
            include_dirs=["csrc"],
            define_macros=macros,
            extra_compile_args=[] if WINDOWS else ["-std=gnu11", *common_flags()],
            extra_link_args=link,
            libraries=[] if WINDOWS else ["m"],
            py_limited_api=STABLE_ABI,
        )
        for name in MODULES
    ]


setup(
    ext_modules=cythonize(
        extensions(),
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG or SANITIZE,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": DEBUG or SANITIZE,
            "embedsignature": True,
            "linetrace": COVERAGE,
        },
    ),
    cmdclass={"build_ext": BuildExt, "bdist_wheel": BdistWheel},
)

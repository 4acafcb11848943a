"""Builds the compiled half of cnet; everything else about the package is in pyproject.toml.

Environment variables read here and nowhere else (they change the build, never a result):

CNET_DEBUG=1      -O1 -g, no optimisation that hides a fault, bounds checks in the Cython modules.
CNET_SANITIZE=1   the same with AddressSanitizer and UndefinedBehaviorSanitizer (GCC or Clang).
CNET_COVERAGE=1   line tracing in the Cython modules, for coverage; gives up the stable ABI.

Each kind is built in a folder of its own under build/. In-place modules (`pip install -e .`) are
only renewed where a source is newer: delete them when changing from one kind to another.
"""

import glob
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

SPECIAL = ("SANITIZE", "DEBUG", "COVERAGE")
KIND = next((k.lower() for k in SPECIAL if os.environ.get(f"CNET_{k}") == "1"), "release")
CHECKED = KIND in ("debug", "sanitize")
# Free-threaded CPython has no stable ABI, and line tracing needs the full one.
STABLE_ABI = KIND != "coverage" and not sysconfig.get_config_var("Py_GIL_DISABLED")
WINDOWS = sys.platform == "win32"
MACOS = sys.platform == "darwin"
if MACOS:
    # Some Pythons build for two architectures at once; instruction sets have flags for one only.
    os.environ.setdefault("ARCHFLAGS", f"-arch {platform.machine()}")

# One library has all compiled modules, each with an init function of its own, which PEP 489 allows
# for (cnet/_core/__init__.py finds them there): that makes a third less than a file for each.
LIBRARY = "cnet._core.kernels"
SOURCES = sorted(glob.glob("cnet/_core/*.pyx"))
# What Cython's modules have in common (memoryviews above all) is compiled once, into this one.
SHARED_MODULE = "cnet._core._cyutility"
# What a one-row prediction passes through: for size, as the other modules are, it would take 5 %
# longer.
HOT = {"sources", "workspace", "inference", "network"}

# csrc/isa_NAME.c has flags of its own, and the same template behind it.
INSTRUCTION_SETS: dict[str, dict[str, list[str]]] = {
    "x86_64": {
        "baseline": [],
        "avx2": ["-mavx2", "-mfma"],
        "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"],
    },
    "aarch64": {"baseline": [], "neon": []},
}
# No tables for a debugger to unwind by.
NO_TABLES = ["-fno-asynchronous-unwind-tables"] if sys.platform == "linux" else []
if CHECKED:
    # AVX-512's tiles and lanes in AVX2's instructions: tried on machines that have no other.
    INSTRUCTION_SETS["x86_64"]["avx512"] = ["-mavx2", "-mfma"]
# Vectorisation wants the last two: without them GCC keeps loops scalar for the sake of errno and of
# floating-point exceptions, which nobody reads here. Never -ffast-math: it breaks NaN and, at link
# time, switches denormals off for the whole process.
KERNEL_FLAGS = ["-O2", "-g0", "-fno-math-errno", "-fno-trapping-math"]
if sys.platform == "linux":
    # GCC vectorises whole-heartedly with -O3 only, which makes half as much code again at the same
    # speed: these two ask for that part alone. No vector loops for the last few elements, for the
    # same reason.
    KERNEL_FLAGS += ["-ftree-vectorize", "-fvect-cost-model=dynamic"]
    KERNEL_FLAGS += ["-fno-ipa-cp-clone", "--param=vect-epilogues-nomask=0"]
    # What is to be inlined says so. A short loop that lies across a line of the cache takes half as
    # long again; nothing else gains by being aligned.
    KERNEL_FLAGS += ["-fno-inline-small-functions", "-fno-inline-functions"]
    KERNEL_FLAGS += ["-fno-align-functions", "-fno-align-jumps", "-falign-loops=64"]
    KERNEL_FLAGS += NO_TABLES
    # For processors without AVX2, which are old or small ones: loops in whole groups are vectorised
    # (csrc/elementwise.h), which is what takes time, the others are left small.
    INSTRUCTION_SETS["x86_64"]["baseline"] += ["-fvect-cost-model=very-cheap", "-falign-loops=1"]
CHECKED_FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-wrapv"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def compiler_flags(optimise: list[str]) -> list[str]:
    """Flags for C, given those of a release build."""
    flags = ["-std=gnu11", "-fvisibility=hidden", *(CHECKED_FLAGS if CHECKED else optimise)]
    flags += SANITIZERS if KIND == "sanitize" else []
    return [f"/clang:{flag}" for flag in flags] if WINDOWS else flags


def linker_flags() -> list[str]:
    """Release builds leave out the symbols that nobody links against."""
    if KIND == "sanitize":
        return SANITIZERS
    return [] if CHECKED or WINDOWS or MACOS else ["-Wl,-s"]


def architecture() -> str:
    """The architecture that is built for, which need not be the one that builds."""
    name = (os.environ.get("ARCHFLAGS", "").rpartition(" ")[2] or platform.machine()).lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


class BuildExt(build_ext):
    """Compiles the kernels once per instruction set and links them into one module only."""

    parallel: int | None
    inplace: bool

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        # The modules go beside their sources as well: whoever installs from a checkout and stays in
        # it imports cnet from there.
        self.inplace = True

    def build_extensions(self) -> None:
        if self.compiler.compiler_type == "msvc":
            self.use_clang()
        (library,) = self.extensions
        files = kernel_files() | {file: glue_flags(file) for file in library.sources}
        library.extra_objects = self.compile_all(files, library.define_macros)
        library.sources = []
        super().build_extensions()

    def use_clang(self) -> None:
        """The kernels use GCC's vector types, which MSVC lacks and Clang has."""
        clang = shutil.which("clang-cl")
        if clang is None:
            raise SystemExit(
                "clang-cl was not found: on Windows, cnet is compiled with Clang. Install LLVM "
                "and put its bin folder on PATH."
            )
        self.compiler.initialize()
        self.compiler.cc = clang

    def compile_all(
        self, files: dict[str, list[str]], macros: Sequence[tuple[str, str | None]]
    ) -> list[str]:
        """Compile each file with its own flags; what is there already and newer stays."""

        def compile_one(file: str) -> str:
            (target,) = self.compiler.object_filenames([file], output_dir=self.build_temp)
            if self.force or newer_group(["setup.py", file, *glob.glob("csrc/*")], target):
                self.compiler.compile(
                    [file],
                    output_dir=self.build_temp,
                    include_dirs=["csrc"],
                    macros=list(macros),
                    extra_postargs=files[file],
                )
            return str(target)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(compile_one, files))


class BdistWheel(bdist_wheel):
    """One wheel per platform serves every CPython from 3.11 on."""

    def finalize_options(self) -> None:
        if STABLE_ABI:
            self.py_limited_api = "cp311"
        super().finalize_options()


def kernel_files() -> dict[str, list[str]]:
    """The C half, with the flags of each file."""
    sets = INSTRUCTION_SETS.get(architecture(), {"baseline": []})
    plain = set(glob.glob("csrc/*.c")) - set(glob.glob("csrc/isa_*.c"))
    files = {f"csrc/isa_{name}.c": flags for name, flags in sets.items()}
    files |= {file: [] for file in sorted(plain)}
    common = compiler_flags(KERNEL_FLAGS) + (["-DCNET_AVX512_BY_AVX2"] if CHECKED else [])
    return {file: common + flags for file, flags in files.items()}


def glue_flags(file: str) -> list[str]:
    """Flags for a module that Cython has translated."""
    hot = os.path.splitext(os.path.basename(file))[0] in HOT
    return compiler_flags(["-O2" if hot else "-Os", "-g0", *NO_TABLES])


def library() -> Extension:
    """The compiled half of the package, translated to C and about to be compiled by BuildExt."""
    sources = {"cnet._core." + os.path.basename(file)[: -len(".pyx")]: file for file in SOURCES}
    sources[SHARED_MODULE] = SHARED_MODULE.replace(".", "/") + ".c"
    modules = cythonize(
        [Extension(name, [file]) for name, file in sources.items()],
        # The coverage plugin looks for the C files beside the modules.
        build_dir=None if KIND == "coverage" else f"build/{KIND}/cython",
        shared_utility_qualified_name=SHARED_MODULE,
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKED,
            "wraparound": False,
            "cdivision": True,
            "auto_pickle": False,
            "initializedcheck": CHECKED,
            "linetrace": KIND == "coverage",
        },
    )
    macros: list[tuple[str, str | None]] = []
    if STABLE_ABI:
        macros.append(("Py_LIMITED_API", "0x030B0000"))
    if KIND == "coverage":
        macros.append(("CYTHON_TRACE_NOGIL", "1"))
    return Extension(
        LIBRARY,
        [file for module in modules for file in module.sources],
        depends=["setup.py", *SOURCES, *glob.glob("cnet/_core/*.pxd"), *glob.glob("csrc/*")],
        define_macros=macros,
        libraries=[] if WINDOWS else ["m"],
        extra_link_args=linker_flags(),
        py_limited_api=STABLE_ABI,
    )


setup(
    ext_modules=[library()],
    options={"build": {"build_base": f"build/{KIND}"}},
    cmdclass={"build_ext": BuildExt, "bdist_wheel": BdistWheel},
)

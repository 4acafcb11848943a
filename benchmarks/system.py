"""What a figure depends on besides the code: the machine, and the environment of a worker."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# Variables that steer the libraries under test. They are removed from every worker, so that a
# machine's habits (a forced kernel, a number of threads) favour nobody, and named in the report.
REMOVED = ("OPENBLAS_", "GOTO_", "OMP_", "GOMP_", "KMP_", "MKL_", "BLIS_", "VECLIB_", "XLA_")
KEPT = ("CNET_",)  # asked for on purpose by whoever compares instruction sets

_FEATURES = {  # a flag of Linux and its usual name, in the order of the report
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX512F",
    "avx512vl": "AVX512VL",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "amx_tile": "AMX",
    "asimd": "NEON",
    "neon": "NEON",
    "sve": "SVE",
    "sve2": "SVE2",
}


def worker_environment(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the environment of a worker: as given, but for what sets threads and kernels.

    Parameters
    ----------
    environment : mapping of str to str
        Normally ``os.environ``.
    threads : int
        The number of threads every library is told to use, before it is imported.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith(REMOVED)}
    kept.pop("PYTHONSAFEPATH", None)  # the worker is a module of this folder, found as such
    several = "true" if threads > 1 else "false"
    return kept | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "VECLIB_MAXIMUM_THREADS": str(threads),
        "NPROC": str(threads),  # XLA takes the size of its pool from it
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={several}",
    }


def steering_variables(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables that a worker loses, and those that it keeps, if they are set."""
    found = sorted(environment.items())
    return (
        {name: value for name, value in found if name.startswith(REMOVED)},
        {name: value for name, value in found if name.startswith(KEPT)},
    )


def choose_cpus(threads: int) -> list[int]:
    """Choose as many processors as threads, one per physical core, for every worker alike.

    The last ones are taken: the first ones often serve the interrupts. The list is empty where
    processes cannot be held to processors, or where there are fewer cores than threads.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores: dict[str, int] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.setdefault(siblings.read_text() if siblings.exists() else str(cpu), cpu)
    chosen = list(cores.values())[-threads:]
    return chosen if len(chosen) == threads else []


def cpp_compiler() -> str | None:
    """Return where the C++ compiler is that `torch.compile` would use, or None."""
    named = os.environ.get("CXX")
    found = map(shutil.which, (*([named] if named else []), "c++", "g++", "clang++", "cl"))
    return next((path for path in found if path is not None), None)


def peak_memory() -> int | None:
    """Return the largest resident size of this process so far, in bytes; None on Windows."""
    if sys.platform == "win32":
        return None
    status = Path("/proc/self/status")
    # On Linux ``ru_maxrss`` starts at the size of the process that started this one.
    if status.exists() and (match := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(match[1]) * 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cpu_name() -> str:
    """Return the processor's name as the operating system gives it."""
    if (listed := _cpuinfo("model name")) is not None:
        return listed
    for command, pattern in (
        (["sysctl", "-n", "machdep.cpu.brand_string"], r"(.+)"),
        (["lscpu"], r"Model name:\s*(.+)"),
    ):
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            continue
        if match := re.search(pattern, said):
            return match[1].strip()
    return platform.processor() or platform.machine()


def describe_machine(threads: int) -> dict[str, str]:
    """Return what the head of a report says about the machine, by caption."""
    removed, kept = steering_variables(os.environ)
    cpus = choose_cpus(threads)
    cores = f"{os.cpu_count()} processors"
    if hasattr(os, "sched_getaffinity"):
        cores += f", {len(os.sched_getaffinity(0))} usable"
    if "hypervisor" in (_cpuinfo("flags") or "").split():
        cores += ", virtual machine"
    where = f"each worker held to processor {', '.join(map(str, cpus))}" if cpus else "not held"
    described = {
        "CPU": cpu_name(),
        "Cores": cores,
        "Instruction sets": _instruction_sets(),
        "Operating system": _operating_system(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Threads": f"{threads}, {where}",
    }
    if hasattr(os, "getloadavg"):
        described["Load before"] = f"{os.getloadavg()[0]:.2f} (average of one minute)"
    described["Variables removed"] = _listed(removed)
    described["Variables kept"] = _listed(kept)
    return described


def _listed(variables: Mapping[str, str]) -> str:
    return ", ".join(f"`{name}={value}`" for name, value in variables.items()) or "none were set"


def _cpuinfo(field: str) -> str | None:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return None
    match = re.search(rf"^{field}\s*:\s*(.+)$", path.read_text(), re.MULTILINE)
    return match[1].strip() if match else None


def _instruction_sets() -> str:
    listed = _cpuinfo("flags") or _cpuinfo("Features")
    if listed is None:
        found = np.show_config(mode="dicts")["SIMD Extensions"]
        return ", ".join([*found.get("baseline", []), *found.get("found", [])])
    flags = set(listed.split())
    names = dict.fromkeys(name for flag, name in _FEATURES.items() if flag in flags)
    return f"{platform.machine()}: {', '.join(names) or 'no vector extension known here'}"


def _operating_system() -> str:
    release = re.match(r"\d+(\.\d+)*", platform.release())
    kernel = f"{platform.system()} {release[0] if release else platform.release()}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    except (OSError, KeyError):
        return kernel

"""Compiles csrc/ for other systems and processors, warnings being errors.

Needs the package ziglang (a Clang with the headers of many systems): ``pip install ziglang``, then
``python wheels/compile_check.py``. Nothing is run; CI does that on machines of each kind.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CSRC = Path(__file__).resolve().parents[1] / "csrc"
TARGETS = [
    "x86_64-windows-gnu",
    "x86_64-macos",
    "x86_64-linux-musl",
    "aarch64-linux-gnu",
    "aarch64-macos",
    "riscv64-linux-gnu",
]
FLAGS = ["-std=gnu11", "-fno-math-errno", "-fno-trapping-math"]
# `a & b ? c : d` without parentheses is meant as it stands.
FLAGS += ["-Wall", "-Wextra", "-Werror", "-Wno-bitwise-conditional-parentheses"]
ISAS = {
    "isa_baseline": ("", []),
    "isa_avx2": ("x86_64", ["-mavx2", "-mfma"]),
    "isa_avx512": (
        "x86_64",
        ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"],
    ),
    "isa_neon": ("aarch64", []),
}


def compile_one(job: tuple[str, Path]) -> str | None:
    """Return what the compiler says, if it is not content."""
    target, file = job
    architecture, flags = ISAS.get(file.stem, ("", []))
    if not target.startswith(architecture):
        return None
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ziglang", "cc", "-target", target, *FLAGS, *flags]
        command += ["-c", str(file), "-o", str(Path(folder) / "out.o")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{target}: {file.name}\n{done.stderr}" if done.returncode else None


def main() -> int:
    """Compile every file for every target; 0 if all went well."""
    jobs = [(target, file) for target in TARGETS for file in sorted(CSRC.glob("*.c"))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = [said for said in pool.map(compile_one, jobs) if said]
    print("\n".join(bad) or f"compiles for {', '.join(TARGETS)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""Every instruction set of this machine in one run, and what CNET_ISA may say."""

import os
import pathlib
import subprocess
import sys

import pytest

from cnet._core import kernels

TESTS = pathlib.Path(__file__).parent


def run(code: str, isa: str | None = None) -> subprocess.CompletedProcess:
    """Run Python code beside the tests, with CNET_ISA set or not."""
    environment = {k: v for k, v in os.environ.items() if k != "CNET_ISA"}
    if isa is not None:
        environment["CNET_ISA"] = isa
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        cwd=TESTS, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("isa", kernels.supported_isas())
def test_instruction_set(isa):
    """All kernels against their references, with arrays that end at a page nobody may read."""
    done = run("import checks; checks.main()", isa)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.stdout.split() == [isa, "passed"]


def test_every_machine_runs_the_baseline_last():
    assert kernels.supported_isas()[-1] == "baseline"


def test_the_best_instruction_set_is_chosen():
    done = run("from cnet._core import kernels; print(kernels.isa())")
    assert done.stdout.strip() == kernels.supported_isas()[0], done.stderr


def known_isas() -> list[str]:
    """The instruction sets of this build, from the error that lists them."""
    done = run("import cnet", "avx1024")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: CNET_ISA='avx1024' is not an instruction set of this bu")
    return last.partition("it has ")[2].partition(".")[0].split(", ")


def test_unknown_instruction_set_is_an_error_that_names_the_known_ones():
    assert set(kernels.supported_isas()) <= set(known_isas())


@pytest.mark.parametrize("name", ["", "AVX2", "avx2 "])
def test_nothing_else_is_taken_for_an_instruction_set(name):
    done = run("import cnet", name)
    assert done.returncode == 1 and f"CNET_ISA={name!r}" in done.stderr


def test_instruction_set_that_the_processor_lacks_is_an_error():
    lacking = [isa for isa in known_isas() if isa not in kernels.supported_isas()]
    if not lacking:
        pytest.skip("this processor runs every instruction set of the build")
    for isa in lacking:
        done = run("import cnet", isa)
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith(f"ImportError: CNET_ISA={isa!r}: this processor does not run it")
        assert all(name in last for name in kernels.supported_isas())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fence on this system")
def test_the_fence_kills_who_reads_on():
    """What the checks rely on: one element behind an array cannot be read."""
    code = (
        "import ctypes, numpy as np, buffers; buffers.fence(); x = buffers.placed(np.ones(5));"
        "at = ctypes.POINTER(ctypes.c_double).from_buffer(ctypes.c_void_p(x.ctypes.data));"
        "print(at[4], flush=True); at[5]"
    )
    done = run(code)
    assert done.stdout.strip() == "1.0"
    assert done.returncode != 0

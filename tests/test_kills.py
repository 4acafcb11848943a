"""Real kills: `benchmarks/kills.py` with a tenth of what its report is made with."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="this is not the source tree")
def test_twenty_kills():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", "--kills", "20"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    count, places = re.match(r"(\d+) kills of .*?, (\d+) with a checkpoint", done.stdout).groups()
    assert int(count) >= 20 and int(places) >= 10, done.stdout

"""A file is trained on without taking memory for it: the benchmark with a small one."""

import sys
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("sizes of processes are read from Linux's /proc", allow_module_level=True)
# At the end, so that an installed cnet is not hidden by the source tree.
sys.path.append(str(Path(__file__).resolve().parents[1]))

larger_than_memory = pytest.importorskip("benchmarks.larger_than_memory")


@pytest.mark.slow
@pytest.mark.parametrize("way", larger_than_memory.WAYS)
def test_a_gigabyte_takes_less_than_a_tenth_of_it(tmp_path, way):
    x, y, rows = larger_than_memory.make(tmp_path, 1.0)
    run = larger_than_memory.measure(x, y, rows, way)
    x.unlink()
    assert run.file == pytest.approx(1e9, rel=1e-3) and run.rows == rows
    assert run.steps >= -(-rows // larger_than_memory.BATCH)
    assert 0 < run.loss < 3
    assert 5e6 < run.peak < 1e8


def test_the_table_has_a_line_per_run(tmp_path):
    x, y, rows = larger_than_memory.make(tmp_path, 0.004)
    assert (x.stat().st_size, y.stat().st_size) == (4096 * 1000, rows)
    run = larger_than_memory.measure(x, y, rows, "shards")
    lines = larger_than_memory.report([run])
    assert len(lines) == 3 and "0.00 GB | 1,000 |" in lines[2]

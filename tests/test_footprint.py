"""Sizes, imports and times to an accuracy are counted right, without any peer installed."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

# At the end, so that an installed cnet is not hidden by the source tree.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import footprint, time_to_accuracy
from benchmarks.footprint import Package, Probe, Size
from benchmarks.time_to_accuracy import Course


def install(folder: Path, name: str, files: dict[str, int], requires: tuple[str, ...] = ()) -> None:
    """Write a distribution with files of so many bytes, as an installer would."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    lines = [f"Requires-Dist: {line}\n" for line in requires]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    with (info / "METADATA").open("a") as metadata:
        metadata.writelines(lines)
    for path, count in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x" * count)
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation: main-one needs two others, directly or not, in a circle."""
    requires = (
        "Second_One>=1",
        "absent",
        "plotting; extra == 'plot'",
        "never; python_version < '3'",
    )
    cached = "main_one/__pycache__/__init__.cpython-311.pyc"
    install(tmp_path, "main-one", {"main_one/__init__.py": 100, cached: 5_000}, requires)
    install(tmp_path, "second-one", {"second.py": 30}, ("third[more]", "main-one"))
    install(tmp_path, "third", {"third.so": 7}, ("fourth; extra == 'more'",))
    install(tmp_path, "fourth", {"fourth.py": 1})
    install(tmp_path, "plotting", {"plotting.py": 900})
    install(tmp_path, "never", {"never.py": 900})
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


MAIN = Package("Main", ("main_one",), ("main-one",))


def test_size_counts_what_is_needed_once_and_no_bytecode(site: Path) -> None:
    pytest.importorskip("packaging")
    found = footprint.size(MAIN, str(site / "main_one" / "__init__.py"))
    needs = {"fourth": 1, "second-one": 30, "third": 7}
    assert found == Size("1.0", alone=100, needs=needs, folder=False, known=True)


def test_size_without_packaging_takes_all_but_the_extras(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footprint, "Requirement", None)
    found = footprint.size(MAIN, str(site / "main_one" / "__init__.py"))
    assert found.needs == {"never": 900, "second-one": 30, "third": 7}


def test_size_of_a_source_tree_counts_the_kinds_that_are_packaged(site: Path) -> None:
    tree = site / "elsewhere" / "main_one"
    for path, count in {
        "__init__.py": 10,
        "py.typed": 0,
        "core/fast.so": 200,
        "core/fast.pyx": 4_000,
        "__pycache__/__init__.pyc": 4_000,
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(b"x" * count)
    found = footprint.size(MAIN, str(tree / "__init__.py"))
    assert (found.alone, found.folder, found.needs["second-one"]) == (210, True, 30)
    unknown = Package("Unknown", ("unknown",), ("unknown-1234",))
    found = footprint.size(unknown, str(tree / "__init__.py"))
    assert found == Size("source tree", alone=210, needs={}, folder=True, known=False)


def test_processes_keep_bytecode_and_lose_what_sets_threads() -> None:
    given = {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "8", "PYTHONPATH": "somewhere"}
    assert footprint.environment(given) == {"PYTHONPATH": "somewhere"}


def test_imports_are_made_by_fresh_processes_and_what_is_missing_is_named() -> None:
    missing = Package("Missing", ("no_such_module_1234",), ("missing",))
    light = Package("Light", ("colorsys",), ("light",))
    lines: list[str] = []
    results = footprint.measure((light, missing), 2, lines.append)
    assert results.skipped == {
        "Missing": "ModuleNotFoundError: No module named 'no_such_module_1234'"
    }
    assert lines[1:] == ["round 1 of 2", "round 2 of 2"]
    probes = results.probes["Light"]
    assert len(probes) == 2
    for probe in probes:
        assert 0 < probe.beyond[1] < probe.whole[1] < 60  # NumPy takes longer than colorsys
        assert probe.threads is None or probe.threads >= 1
        assert probe.peak is None or 5e6 < probe.peak < 5e8  # bytes, not kilobytes
        assert Path(probe.file).name == "colorsys.py"


def test_footprint_is_written_in_milliseconds_and_megabytes() -> None:
    def probe(cpu: float) -> Probe:
        return Probe((0.1 + cpu, 1.0), (cpu, 2 * cpu), 2, 30_000_000, 0, "")

    packages = (MAIN, Package("NumPy", (), ("numpy",)))
    results = footprint.Results(
        {"Main": [probe(0.02), probe(0.01), probe(0.05)], "NumPy": [probe(0.0)]},
        {"Other": "not there"},
    )
    sizes = {
        "Main": Size("1.0", 2_000_000, {"numpy": 50_000_000, "blas": 3_500_000}, True, True),
        "Bare": Size("source tree", 1_000_000, {}, True, False),
    }
    text = footprint.render(results, sizes, packages, {"CPU": "made up"}, "made up")
    row = "| `import main_one` | 10.0 | 20.0 | 20.0 | 40.0 | 110.0 | 120.0 | 2 | 30.0 |"
    assert row in text
    assert "| `import numpy` | 100.0 | 100.0 | 1,000.0 |" in text  # all of it, not what is beyond
    assert "| Main (its folder) | 1.0 | 2.00 | 3.50 | 50.0 | 55.5 |" in text
    assert "| 1.00 | not known | not known | not known |" in text
    assert "- Main: blas 3.50\n" in text
    assert "made 3 times" in text and "- Other was skipped: not there" in text


# ---- time to accuracy --------------------------------------------------------------------------


def course(seed: int, *accuracies: float) -> Course:
    """Epochs of 1, 2, 3 ... seconds."""
    seconds = [float(i) for i in range(1, len(accuracies) + 1)]
    return Course(seed, seconds, [0.5] * len(seconds), list(accuracies))


def test_time_counts_up_to_the_first_epoch_that_reaches_the_goal() -> None:
    jumpy = course(1, 0.80, 0.875, 0.86, 0.89)
    assert jumpy.until(0.875) == (3.0, 2)
    assert jumpy.until(0.88) == (10.0, 4)
    assert jumpy.until(0.90) == (math.inf, math.inf)
    assert course(1).until(0.1) == (math.inf, math.inf)


def test_what_was_not_reached_is_later_than_all_else() -> None:
    courses = {
        "cnet": [course(1, 0.89), course(2, 0.87, 0.89), course(3, 0.87, 0.87)],
        "PyTorch": [course(1, 0.80, 0.87), course(2, 0.80), course(3, 0.80)],
    }
    results = time_to_accuracy.Results(courses)
    table = time_to_accuracy.goals(results)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert rows[0] == ["87%", "cnet", "1.0", "1.0 to 1.0", "1.00", "1", "3 of 3"]
    assert rows[1][2:] == ["not reached", "3.0 to not reached", "", "not reached", "1 of 3"]
    assert rows[-2] == ["89%", "cnet", "3.0", "1.0 to not reached", "1.00", "2", "2 of 3"]
    assert rows[-1][2:] == ["not reached", "", "", "not reached", "0 of 3"]
    text = time_to_accuracy.render(results, 60_000, {"CPU": "made up"}, "made up")
    assert "| PyTorch | 1 | 3.0 | 80.00%, 87.00% |" in text
    assert "| PyTorch | 4 | 1.00 | 1.00 to 2.00 | 1.00 | 0.500 |" in text


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Ten kinds of pictures that are easily told apart: one bright row of pixels each."""
    generator = np.random.default_rng(0)
    y = np.arange(1_500) % 10
    x = generator.integers(0, 100, (len(y), 10, 78), dtype=np.uint8)
    x[np.arange(len(y)), y] += 100
    x = x.reshape(len(y), -1)
    path = tmp_path / "images.npz"
    np.savez(path, x=x[:1_000], y=y[:1_000], test_x=x[1_000:], test_y=y[1_000:])
    return path


def test_cnet_reaches_the_goal_and_stops(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contestants = {"cnet": time_to_accuracy.learn_cnet}
    monkeypatch.setattr(time_to_accuracy, "CONTESTANTS", contestants)
    results = time_to_accuracy.Results()
    time_to_accuracy.race(1, 1, 20, images, results)
    assert results.failures == []
    assert results.introductions["cnet"]["threads"] == 1
    (run,) = results.courses["cnet"]
    assert run.accuracies[-1] >= 0.89 > max(run.accuracies[:-1], default=0.0)
    assert len(run.seconds) == len(run.evaluations) == len(run.accuracies) < 20
    assert min(run.seconds) > 0


def test_a_contestant_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_to_accuracy, "CONTESTANTS", {"unknown": None})
    empty = np.zeros((0, 1))
    np.savez(tmp_path / "none.npz", x=empty, y=empty, test_x=empty, test_y=empty)
    results = time_to_accuracy.Results()
    time_to_accuracy.race(1, 1, 1, tmp_path / "none.npz", results)
    assert results.failures == ["unknown, seed 1: the worker ended with exit status 1"]
    assert results.courses == {}

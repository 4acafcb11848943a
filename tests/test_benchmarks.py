"""The benchmarks run on NumPy alone, and the arithmetic of their report is right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# At the end, so that an installed cnet is not hidden by the source tree.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import __main__ as command
from benchmarks import harness, peers, report, system, workloads
from benchmarks.harness import PeerInfo, Plan, Results, Timing

LABEL = workloads.TRAINING[0].label


def timing(peer: str, mode: str, *seconds: float) -> Timing:
    return Timing(LABEL, "training", peer, mode, 10, seconds)


def info(name: str) -> PeerInfo:
    return PeerInfo(name, "1.0", "A step.", ("a", "b"), (), ("b",))


@pytest.fixture
def results() -> Results:
    """Three rounds, the second one disturbed for all contestants alike."""
    return Results(
        peers={"cnet": info("cnet"), "slow": info("Slow"), "fast": info("Fast")},
        skipped={"absent": "not installed"},
        timings=[
            timing("cnet", "fit", 2e-6, 10e-6, 2e-6),
            timing("slow", "a", 8e-6, 40e-6, 10e-6),
            timing("fast", "a", 9e-6, 9e-6, 9e-6),
            timing("fast", "b", 3e-6, 20e-6, 3e-6),
        ],
    )


def cells(lines: list[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_ratios_are_taken_round_by_round() -> None:
    assert report.ratios(timing("a", "", 6.0, 1.0), timing("b", "", 2.0, 4.0)) == [3.0, 0.25]


def test_ratios_of_unequal_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rounds and baseline 1"):
        report.ratios(timing("a", "", 6.0, 1.0), timing("b", "", 2.0))


def test_best_mode_has_the_lowest_median(results: Results) -> None:
    best = report.best_modes(results.timings)
    assert {peer: found.mode for peer, found in best.items()} == {
        "cnet": "fit",
        "slow": "a",
        "fast": "b",
    }


def test_summary_has_medians_of_times_and_of_ratios(results: Results) -> None:
    head, _, row = cells(report.summary(results, "training"))
    assert head == ["workload", "cnet", "Slow", "Fast", "fastest peer / cnet"]
    # slow: times 8, 40, 10; ratios 4, 4, 5.  fast b: times 3, 20, 3; ratios 1.5, 2, 1.5.
    assert row == [LABEL, "2.00", "10.0 (4.00)", "3.00 (1.50)", "1.50 (Fast)"]


def test_details_have_every_mode_with_its_spread(results: Results) -> None:
    rows = {row[1]: row[2:] for row in cells(report.details(results, "training"))[2:]}
    assert rows["Slow, a"] == [
        *("3 x 10", "10.0", "8.00 to 40.0"),
        *("4.00", "4.00 to 5.00"),
    ]
    assert rows["Fast, a"][3:] == ["4.50", "0.90 to 4.50"]
    assert len(rows) == 4


def test_report_without_cnet_has_no_ratios(results: Results) -> None:
    del results.peers["cnet"], results.timings[0]
    text = report.render(results, Plan(()), {"CPU": "made up"}, "made up")
    assert "cnet did not take part" in text
    assert f"| {LABEL} | 10.0 | 3.00 |  |" in text
    assert "| absent | skipped: not installed |" in text


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(1.234e-6, "1.23"), (12.34e-6, "12.3"), (123.4e-6, "123"), (0.0123456, "12,346")],
)
def test_microseconds_have_about_three_digits(seconds: float, written: str) -> None:
    assert report.microseconds(seconds) == written


def test_only_chooses_by_pieces_of_names_and_always_takes_cnet() -> None:
    chosen = command.choose(["tiny/numpy", "predict 16/ort"], quick=True)
    assert {workload.label: who for workload, who in chosen} == {
        "tiny 8-32-32-1 b32 adam": ("cnet", "numpy"),
        "predict 16-64-64-4 b1": ("cnet", "ort"),
    }
    assert len(command.choose([], quick=False)) == len(workloads.WORKLOADS)


def test_only_that_fits_nothing_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'tiny/jelly' fits nothing.*the peers are cnet, .*numpy"):
        command.choose(["tiny/jelly"], quick=False)


def test_workers_lose_the_variables_that_steer_libraries() -> None:
    given = {"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "8", "CNET_ISA": "baseline"}
    environment = system.worker_environment(given, threads=2)
    assert "OPENBLAS_CORETYPE" not in environment
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "2"
    removed, kept = system.steering_variables(given)
    assert removed == {"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "8"}
    assert kept == {"CNET_ISA": "baseline"}


def test_every_label_is_found_and_unlike_the_others() -> None:
    for workload in workloads.WORKLOADS:
        assert workloads.find(workload.label) is workload


def test_whole_blocks_are_done_and_counted() -> None:
    blocks: list[int] = []
    run = peers.repeat_block(blocks.append, 16)
    assert [run(1), run(40), run(64)] == [16, 32, 64]  # 40 / 16 is 2.5, to the even number
    assert blocks == [1, 2, 4]


def test_harness_times_numpy_and_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    contests = ((workloads.TRAINING[0], ("numpy",)), (workloads.PREDICTION[0], ("numpy", "none")))
    lines: list[str] = []
    results = harness.run(Plan(contests, rounds=3, burst=0.002), lines.append)
    assert list(results.peers) == ["numpy"]
    assert results.failures == []
    assert results.skipped["none"].startswith("not installed")
    assert [found.kind for found in results.timings] == ["training", "prediction"]
    for found in results.timings:
        assert len(found.seconds) == 3
        assert 0 < min(found.seconds) < 1
        assert found.steps >= 1
    assert len(lines) == 3  # one for the peer that is missing, one for each workload
    assert lines[1].startswith(f"{LABEL}: 1 contestants")


def test_a_contestant_that_fails_is_named_and_the_others_go_on() -> None:
    workload = workloads.PREDICTION[0]
    plan, results = Plan((), rounds=2, burst=0.002), Results()
    with harness.Worker("numpy", 1) as whole, harness.Worker("numpy", 1) as broken:
        for worker in (whole, broken):
            assert worker.receive()["name"] == "NumPy"
        broken.process.kill()
        contestants = [harness.Contestant("numpy", mode, broken) for mode in ("one", "two")]
        contestants.append(harness.Contestant("numpy", "three", whole))
        finishers = harness.hold(workload, contestants, plan, results)
    assert [(found.mode, len(found.seconds)) for found in finishers] == [("three", 2)]
    assert [line.split(": ")[:2] for line in results.failures] == [
        [workload.label, "numpy (one)"],
        [workload.label, "numpy (two)"],
    ]


def test_an_error_in_a_worker_is_told_and_the_worker_goes_on() -> None:
    label = workloads.PREDICTION[0].label
    with harness.Worker("numpy", 1) as worker:
        worker.receive()
        with pytest.raises(harness.WorkerError, match="ValueError: no workload is called 'x'"):
            worker.ask(do="prepare", workload="x", mode="by hand", seconds=0.002)
        worker.ask(do="prepare", workload=label, mode="by hand", seconds=0.002)
        assert worker.ask(do="burst", mode="by hand")["steps"] >= 1

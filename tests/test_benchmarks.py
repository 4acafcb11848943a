"""The benchmarks run on NumPy alone, and the arithmetic of their report is right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# At the end, so that an installed cnet is not hidden by the source tree.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import __main__ as command
from benchmarks import figures, harness, memory, peers, plot, report, system, workloads
from benchmarks.harness import Memory, PeerInfo, Plan, Results, Timing

LABEL = workloads.TRAINING[0].label


def timing(peer: str, mode: str, *seconds: float) -> Timing:
    return Timing(LABEL, "training", peer, mode, 10, seconds)


def info(name: str) -> PeerInfo:
    return PeerInfo(name, "1.0", "A step.", ("a", "b", "a, 1 thread"), ("p",), ("b",), ("b",))


def sweep(kind: workloads.Kind, name: workloads.Sweep) -> list[workloads.Workload]:
    return [w for w in workloads.SWEEPS if w.sweep == name and workloads.kind_of(w) == kind]


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
    assert figures.ratios(timing("a", "", 6.0, 1.0), timing("b", "", 2.0, 4.0)) == [3.0, 0.25]


def test_ratios_of_unequal_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rounds and baseline 1"):
        figures.ratios(timing("a", "", 6.0, 1.0), timing("b", "", 2.0))


def test_best_mode_has_the_lowest_median(results: Results) -> None:
    best = figures.best_modes(results.timings)
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


def test_several_threads_are_set_against_one_and_compared_as_one_is(results: Results) -> None:
    before = report.summary(results, "training")
    results.timings.append(timing("cnet", "fit, 1 thread", 3e-6, 5e-6, 1e-6))
    assert report.summary(results, "training") == before
    _, _, row = cells(report.threads_table(results, 4))
    # Round by round 1.5, 0.5 and 0.5 times as long with one thread as with four.
    assert row == [LABEL, "3.00", "2.00", "0.50", "0.50 to 1.50"]
    assert "## What 4 threads bring" in report.render(results, Plan((), threads=4), {}, "")


def test_a_cliff_shows_in_the_costs_per_unit(results: Results) -> None:
    widths = sweep("training", "width")
    results.timings = [
        # 2 ns for a multiplication of a row at every width but 46, where it is 3 times as much.
        Timing(w.label, "training", "cnet", "fit", 1, (seconds, 9 * seconds, seconds / 9))
        for w in widths
        for seconds in [2e-9 * w.batch * _weights(w) * (3 if w.sizes[1] == 46 else 1)]
    ]
    rows = dict(cells(report.unit_table(results, "training", "width"))[2:])
    assert rows["45"] == rows["1,024"] == "2.00"
    assert rows["46"] == "6.00"
    assert rows["steepest rise"] == "3.00 (45 to 46)"
    assert len(rows) == len(widths) + 1


def _weights(workload: workloads.Workload) -> int:
    first, second, third, last = workload.sizes
    return first * second + second * third + third * last


def test_costs_of_a_row_are_times_divided_by_rows(results: Results) -> None:
    results.timings = [
        Timing(w.label, "prediction", peer, "p", 1, (seconds * w.batch,))
        for w in sweep("prediction", "rows")
        for peer, seconds in (("cnet", 4e-6), ("fast", 0.5e-6))
    ]
    head, _, first, *_, rise = cells(report.unit_table(results, "prediction", "rows"))
    assert head == ["rows", "cnet", "Fast"]
    assert first == ["1", "4.00", "0.50"]
    assert rise[1].startswith("1.00 (")
    text = report.render(results, Plan(()), {}, "")
    assert "## Cost of prediction over the rows of a call, by unit" in text
    assert "## Time of one prediction\n" not in text  # a sweep is not among the networks


def test_one_point_of_a_sweep_has_no_rise() -> None:
    assert figures.steepest_rise([(16, (1.0, 2.0))]) is None
    # The second round is disturbed, at all points alike.
    points = [(16, (4.0, 8.0, 4.0)), (32, (2.0, 4.0, 2.0)), (64, (1.5, 3.0, 1.5))]
    assert figures.steepest_rise(points) == (0.75, 32, 64)


def test_memory_is_given_after_the_import_and_in_all(results: Results) -> None:
    results.memories = [
        Memory(LABEL, "fast", "b", 31_000_000, 1_234_567_890),
        Memory(LABEL, "cnet", "fit", 30_400_000, 33_500_000),
    ]
    head, _, row = cells(report.memory_table(results))
    assert head == ["workload", "weights", "cnet", "Fast"]
    # 8 * 32 + 32 * 32 + 32 weights of 4 bytes
    assert row == [LABEL, "0.01", "30 / 34", "31 / 1,235"]
    assert "## Memory" in report.render(results, Plan(()), {}, "")


def test_memory_is_that_of_the_fastest_way_that_needs_no_compiler(results: Results) -> None:
    chosen = memory.contestants(results.timings, results)
    assert [(found.peer, found.mode) for found in chosen] == [
        ("cnet", "fit"),
        ("slow", "a"),
        ("fast", "a"),
    ]


@pytest.mark.parametrize(
    ("plan", "workload", "expected"),
    [
        (Plan(()), workloads.TRAINING[0], ["a"]),
        (Plan((), compile=True), workloads.TRAINING[0], ["a", "b"]),
        (Plan((), threads=2), workloads.TRAINING[0], ["a", "a, 1 thread"]),
        (Plan((), threads=2, compile=True), workloads.SWEEPS[0], ["b"]),
        (Plan((), compile=True), workloads.PREDICTION[0], ["p"]),
    ],
)
def test_ways_that_take_part(plan: Plan, workload: workloads.Workload, expected: list[str]) -> None:
    assert info("").modes(workload, plan) == expected


def test_picture_is_written(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results.timings += [
        Timing(w.label, workloads.kind_of(w), peer, "a", 1, (1e-6 * w.batch, 2e-6, 3e-6))
        for w in (*workloads.PREDICTION, *workloads.SWEEPS)
        for peer in results.peers
    ]
    for name, drawn in (("whole", results), ("empty", Results())):
        plot.draw(drawn, "made up", 1, tmp_path / f"{name}.png")
    whole, empty = ((tmp_path / f"{name}.png").read_bytes() for name in ("whole", "empty"))
    assert whole.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(whole[16:20], "big") >= 1200  # pixels across
    assert len(whole) > len(empty)


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


def test_compiled_ways_take_part_where_a_compiler_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiles(*arguments: str) -> bool:
        return command.parse(arguments)[0].compile

    monkeypatch.setattr(system, "cpp_compiler", lambda: None)
    assert [compiles(), compiles("--compile")] == [False, True]
    monkeypatch.setattr(system, "cpp_compiler", lambda: "/usr/bin/c++")
    assert [compiles(), compiles("--no-compile"), compiles("--quick")] == [True, False, False]


def test_plot_is_beside_the_report_where_it_can_be_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plot, "available", lambda: True)
    assert command.parse(["--output", "a/b.md"])[1:] == (Path("a/b.md"), Path("a/b.png"))
    assert command.parse(["--quick", "--plot", "c.png"])[1:] == (None, Path("c.png"))
    monkeypatch.setattr(plot, "available", lambda: False)
    assert command.parse(["--output", "a/b.md"])[1:] == (Path("a/b.md"), None)
    with pytest.raises(SystemExit):
        command.parse(["--plot", "c.png"])
    assert "needs matplotlib" in capsys.readouterr().err


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say")
def test_memory_of_numpy_is_measured_and_a_failure_is_named() -> None:
    label = workloads.TRAINING[4].label
    results = Results(
        peers={"numpy": info("NumPy")},
        timings=[
            Timing(name, "training", peer, "by hand", 1, (1.0,))
            for name, peer in ((label, "numpy"), (LABEL, "numpy"))
        ],
    )
    lines: list[str] = []
    memory.measure(Plan((), memory=(label, LABEL)), results, lines.append)
    large, tiny = results.memories
    arrays = 4 * 4 * workloads.weights(workloads.TRAINING[4].sizes)  # with gradients and moments
    assert 10e6 < tiny.imported <= tiny.peak < tiny.imported + 20e6
    assert large.peak > large.imported + arrays
    assert len(lines) == 2
    results.peers["none"] = info("None")
    results.timings = [Timing(LABEL, "training", "none", "a", 1, (1.0,))]
    memory.measure(Plan((), memory=(LABEL,)), results, lines.append)
    assert len(results.memories) == 2
    assert len(results.failures) == 1
    assert results.failures[0].startswith(f"memory, {LABEL}: none (a): ")


def test_all_points_of_a_sweep_take_turns_in_one_contest() -> None:
    every = tuple((workload, ("numpy",)) for workload in workloads.WORKLOADS)
    contests = dict(harness.together(Plan(every)))
    assert list(contests)[-3:] == [
        *("sweep of width, training", "sweep of rows, training", "sweep of rows, prediction"),
    ]
    assert [w.sizes[1] for w, _ in contests["sweep of width, training"]] == list(workloads.WIDTHS)
    assert [w.batch for w, _ in contests["sweep of rows, prediction"]] == list(workloads.ROWS)
    assert [pair for points in contests.values() for pair in points] == list(every)
    points = tuple((w, ("numpy",)) for w in sweep("prediction", "rows")[:2])
    plan = Plan(points, rounds=1, sweep_rounds=2, sweep_burst=0.002)
    lines: list[str] = []
    found = harness.run(plan, lines.append).timings
    assert [(t.workload, len(t.seconds)) for t in found] == [(w.label, 2) for w, _ in points]
    assert lines[0].startswith("sweep of rows, prediction: 2 contestants")


def test_a_contestant_that_fails_is_named_and_the_others_go_on() -> None:
    workload = workloads.PREDICTION[0]
    plan, results = Plan((), rounds=2, burst=0.002), Results()
    with harness.Worker("numpy", 1) as whole, harness.Worker("numpy", 1) as broken:
        for worker in (whole, broken):
            assert worker.receive()["name"] == "NumPy"
        broken.process.kill()
        contestants = [
            harness.Contestant(workload, "numpy", mode, worker)
            for mode, worker in (("one", broken), ("two", broken), ("three", whole))
        ]
        finishers = harness.hold(contestants, plan, results)
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
        assert worker.ask(do="burst", workload=label, mode="by hand")["steps"] >= 1
        worker.ask(do="clear")
        with pytest.raises(harness.WorkerError, match="KeyError"):
            worker.ask(do="burst", workload=label, mode="by hand")

"""The workbench finds what is wrong with a kernel, and its figures are what they are said to be."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

# At the end, so that an installed cnet is not hidden by the source tree.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import kernels_bench, kernels_worker, products, workbench, workloads
from benchmarks.harness import Plan
from benchmarks.kernels_worker import Effort, Timing
from cnet._core import activations, kernels, losses, optimizers

TINY = Effort((), "float32", quick=True, rounds=2, burst=1e-5)


def wrong(function: Callable, out: int | None) -> Callable:
    """Return a kernel whose last result is a thousandth too large: `out` is which argument has
    them, None if they are returned."""

    def slightly_wrong(*given):
        result = function(*given)
        written = result if out is None else given[out]
        written.reshape(-1)[-1] *= 1.001
        return result

    return slightly_wrong


# part, the module that has the kernel, its name, where its results are, what is named then
WRONG = [
    ("products", kernels, "gemm", 2, "products: y = x W + b | 1 x 32 x 1: "),
    ("math", kernels, "vmath", None, "math: exp: off by "),
    ("activations", activations, "forward", 2, "activations: linear: 1 of 10000 are wrong"),
    ("activations", activations, "backward", 4, "activations: linear backward: 1 of 10000 "),
    ("losses", losses, "value_and_gradient", 3, "losses: mse gradient: 1 of 10000 are wrong"),
    ("updates", optimizers, "update", 4, "updates: sgd: 1 of 10000 are wrong"),
]


@pytest.fixture
def own_products():
    """The workbench takes OpenBLAS away from cnet; the tests after this one may want it."""
    yield
    kernels.use_blas(True)


def first_fault(part: str, dtype: str) -> str:
    found = kernels_worker.check_and_measure(kernels_bench.PARTS[part](dtype, True), TINY)
    return next(line for line in found if isinstance(line, str))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("part", "module", "name", "out", "named"), WRONG, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_wrong_kernel_is_named(
    part, module, name, out, named, dtype, monkeypatch, own_products
) -> None:
    """One result of thousands, off by a thousandth."""
    monkeypatch.setattr(module, name, wrong(getattr(module, name), out))
    assert first_fault(part, dtype).startswith(named)


def test_rows_that_are_read_wrong_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    source = kernels_bench.Source
    monkeypatch.setattr(kernels_bench, "Source", lambda x, scale: source(x, scale * 1.001))
    assert first_fault("sources", "float32").startswith("sources: rows of f32: ")


def test_a_wrong_value_of_a_loss_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = losses.labels_value_and_gradient
    monkeypatch.setattr(losses, "labels_value_and_gradient", lambda *a: 1.01 * kernel(*a))
    named = "losses: sparse_categorical_crossentropy: 1 of 1 are wrong"
    assert first_fault("losses", "float32").startswith(named)


@pytest.mark.skipif(kernels.find_blas() is None, reason="OpenBLAS is not installed")
def test_a_wrong_product_of_openblas_is_named(monkeypatch, own_products) -> None:
    product = kernels_bench.OpenBLAS.product

    def other_operand(self, a, a_turned, b, b_turned, out, rows):
        return product(self, a * np.float32(1.001), a_turned, b, b_turned, out, rows)

    monkeypatch.setattr(kernels_bench.OpenBLAS, "product", other_operand)
    assert first_fault("products", "float32").startswith("products: OpenBLAS: y = x W + b | ")


def test_nothing_is_left_out() -> None:
    """Every row of every list has its kernel."""
    names = {
        part: [kernel.name for kernel in kernels_bench.PARTS[part]("float32", True)]
        for part in ("math", "activations", "losses", "updates", "sources")
    }
    assert names["math"] == list(kernels.MATH)
    assert names["activations"][::2] == list(kernels.ACTIVATIONS)
    assert names["activations"][1::2] == [f"{name} backward" for name in kernels.ACTIVATIONS]
    assert names["losses"] == list(kernels.LOSSES)
    assert names["updates"] == list(kernels.OPTIMIZERS)
    assert names["sources"] == list(kernels.SOURCES)
    assert list(workbench.HEADINGS) == list(kernels_bench.PARTS)
    sizes = kernels_bench.sizes(quick=False)
    for workload in (*workloads.TRAINING, *workloads.PREDICTION):
        assert (workload.batch, *workload.sizes[:2]) in sizes
        assert (workload.batch, *workload.sizes[-2:]) in sizes


# ---- figures -------------------------------------------------------------------------------------


def product(amount: int, call: list, empty: list, rival: list, rival_empty: list) -> Timing:
    lists = (tuple(v) for v in (call, rival, empty, rival_empty))
    return Timing("products", "y = x W + b | 8 x 9 x 10", amount, 0, 0, *lists)


def test_products_are_less_the_call_and_compared_round_by_round() -> None:
    """Net of the call: 2, 4, 2 us against 6, 4, 8 us, of 8000 operations."""
    timing = product(
        8000, [3e-6, 6e-6, 3e-6], [1e-6, 2e-6, 1e-6], [7e-6, 5e-6, 9e-6], [1e-6, 1e-6, 1e-6]
    )
    assert products.speedup_over_blas(timing) == pytest.approx(3.0)  # of 3, 1 and 4
    assert products.peak([timing]) == pytest.approx(8 / 3)
    (row,) = products.rows_of([timing])
    assert row == [
        *("y = x W + b", "8 x 9 x 10", "2.00", "4.0", "4.0", "150%"),
        *("6.00", "1.3", "2.0", "50%", "3.00"),
    ]
    (row,) = products.class_rows([timing])
    assert row == ["0 to 100,000", "1", "1", "3.00", "3.00", "3.00"]


def test_products_too_short_to_be_timed_and_absent_rivals_are_blank() -> None:
    """A tenth of the call is left of the first; the second has no OpenBLAS."""
    short = product(8000, [1.1e-6] * 3, [1e-6] * 3, [2e-6] * 3, [1e-6] * 3)
    alone = product(8000, [3e-6] * 3, [1e-6] * 3, [], [])
    first, second = products.rows_of([short, alone])
    assert first[2:] == ["", "", "", "", "1.00", "8.0", "8.0", "110%", ""]
    assert second[2:] == ["2.00", "4.0", "4.0", "55%", "", "", "", "", ""]
    assert products.class_rows([short, alone]) == []


def test_a_round_lost_in_noise_does_not_count() -> None:
    """Net of the call: 2, -1, 2 us against 4, 4, 6 us."""
    call, empty = [3e-6, 1e-6, 3e-6], [1e-6, 2e-6, 1e-6]
    timing = product(8000, call, empty, [5e-6, 5e-6, 7e-6], [1e-6] * 3)
    assert products.speedup_over_blas(timing) == pytest.approx(2.5)  # of 2 and 3


def test_elementwise_kernels_are_given_per_element_and_by_bytes() -> None:
    """1000 elements in 2 us (at best 1), 12 kB against a copy of 8 kB in 1 us."""
    timing = Timing("losses", "mse", 1000, 12_000, 8000, (2e-6, 1e-6, 4e-6), (1e-6,) * 3)
    (row,) = [line for line in workbench.elementwise([timing]) if "mse" in line]
    assert row == "| mse | 2.000 | 1.000 | 6.0 | 75% |"


# ---- the command ---------------------------------------------------------------------------------


def test_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNET_ISA", raising=False)
    effort, isas, output = workbench.parse([])
    assert effort == Effort(tuple(kernels_bench.PARTS))
    assert isas == kernels.supported_isas() and output is None
    words = "--only updates --only math --dtype float64 --isa baseline --quick --output a.md"
    effort, isas, output = workbench.parse(words.split())
    assert effort.parts == ("math", "updates") and effort.dtype == "float64" and effort.quick
    assert isas == ["baseline"] and output == Path("a.md")
    monkeypatch.setenv("CNET_ISA", kernels.isa())
    assert workbench.parse([])[1] == [kernels.isa()]


@pytest.mark.parametrize(
    ("words", "known"), [("--only gemm", "products"), ("--isa avx1024", "baseline")]
)
def test_unknown_arguments_list_the_known_ones(words, known, capsys) -> None:
    with pytest.raises(SystemExit) as error:
        workbench.parse(words.split())
    assert error.value.code == 2
    assert known in capsys.readouterr().err


def test_a_run_writes_its_report(tmp_path: Path, capsys) -> None:
    """Real processes, real kernels, on the instruction set that all machines of a kind have."""
    output = tmp_path / "new" / "report.md"
    words = ["--quick", "--only", "updates", "--isa", "baseline", "--output", str(output)]
    assert workbench.main(words) == 0
    text = output.read_text("utf-8")
    assert text.strip() == capsys.readouterr().out.strip()
    assert "## baseline, float32" in text and "### Update rules" in text
    assert "What failed" not in text
    for name in kernels.OPTIMIZERS:
        (figures,) = re.findall(rf"^\| {name} \| ([\d.]+) \| ([\d.]+) \|", text, re.MULTILINE)
        assert 0.01 < float(figures[1]) <= float(figures[0]) < 1000


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("kernel(*given); given[4][0] += 1", "baseline: updates: sgd: 1 of 10000 are wrong"),
        ("sys.exit(3)", "baseline: the process ended with exit status 3 after the start"),
    ],
)
def test_a_fault_is_reported_and_the_exit_status_is_1(
    fault, named, tmp_path, monkeypatch, capsys
) -> None:
    """The process of the instruction set begins with a rule of its own in place of cnet's."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nfrom cnet._core import optimizers\nkernel = optimizers.update\n"
        f"def update(*given):\n    {fault}\n"
        "optimizers.update = update\n"
    )
    root = str(Path(kernels.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), root]))
    assert workbench.main(["--quick", "--only", "updates", "--isa", "baseline"]) == 1
    out = capsys.readouterr().out
    assert f"- {named}" in out.partition("## What failed")[2]


def test_the_suite_shows_the_products_of_its_own_layers_as_shares_of_the_peak_of_all() -> None:
    square, layer = (
        Timing("products", name, amount, 0, 0, call, (), (0.0, 0.0))
        for name, amount, call in (
            ("y = x W + b | 256 x 256 x 256", 8_000, (1e-6, 2e-6)),
            ("dW = x^T dy | 32 x 784 x 10", 4_000, (2e-6, 2e-6)),
        )
    )
    (row,) = products.rates([square, layer], {"32 x 784 x 10"})[2:]
    assert row.split(" | ")[:6] == ["| dW = x^T dy", "32 x 784 x 10", "2.00", "2.0", "2.0", "25%"]
    assert "Peak: 8.0 GF/s" in products.note([square, layer])


def test_a_trial_of_the_suite_has_products_and_a_choice_of_workloads_has_none() -> None:
    failures: list[str] = []
    plan = Plan((), rounds=1, products="quick")
    ((heading, note, table),) = products.section(plan, failures, lambda line: None)
    assert "share of the peak" in heading
    assert note.startswith("Peak: ")
    assert not failures
    sizes = {line.split(" | ")[1] for line in table[2:]}
    assert sizes == {" x ".join(map(str, size)) for size in kernels_bench.layers(quick=True)}
    assert products.section(Plan(()), failures, print) == []

"""The command line, the examples, and the training on Fashion-MNIST that benchmarks/ reports."""

import os
import pathlib
import re
import runpy
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

import cnet
from cnet import demo
from cnet.__main__ import main

ROOT = pathlib.Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
needs_examples = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not here")


def command(*arguments: str, **options) -> subprocess.CompletedProcess:
    """Run `python -m cnet` as a process of its own."""
    given = {"capture_output": True, "timeout": 60, "text": True, "encoding": "utf-8"} | options
    return subprocess.run([sys.executable, "-m", "cnet", *arguments], check=False, **given)


def environment(**changes: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | changes


# ---- the demonstration -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> tuple[subprocess.CompletedProcess, pathlib.Path, float]:
    """The demonstration as users run it: its output, what it saved, the processor time it took."""
    resource = pytest.importorskip("resource")
    path = tmp_path_factory.mktemp("demo") / "digits.safetensors"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = command("demo", "--save", str(path), env=environment(PYTHONIOENCODING="utf-8"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, path, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_demo_recognises_the_digits_in_under_two_seconds(shown):
    done, _, seconds = shown
    assert done.returncode == 0
    (right,) = re.findall(r"([\d.]+)% of the handwritten digits held out", done.stdout)
    assert float(right) >= 97
    assert seconds < 2


def test_demo_shows_its_progress_on_standard_error(shown):
    done, _, _ = shown
    lines = done.stderr.splitlines()
    assert 2 <= len(lines) <= 12 and lines[-1].startswith("epoch 60/60 loss ")
    assert "epoch" not in done.stdout.replace("60 epochs", "")


def test_demo_draws_digits_with_its_answers(shown):
    done, _, _ = shown
    assert set("░▒▓█") <= set(done.stdout)
    assert done.stdout.count("wrong, it is ") == 2
    assert len(re.findall(r"\bright\b", done.stdout)) == 6
    pictures = done.stdout[done.stdout.index("taken for") : done.stdout.index("Saved to")]
    assert max(map(len, pictures.splitlines())) <= demo.LINE <= 79


def test_demo_saves_what_it_trained(shown):
    done, path, _ = shown
    assert f"Saved to {path}" in done.stdout and "predicts the same, bit for bit" in done.stdout
    x, y = cnet.datasets.load_digits(split=True)[1]
    assert np.mean(cnet.load(path).predict_classes(x) == y) >= 0.97


def test_demo_counts_are_those_of_its_predictions(shown):
    done, path, _ = shown
    x, y = cnet.datasets.load_digits(split=True)[1]
    guesses = cnet.load(path).predict_classes(x)
    table = [line.split()[1:] for line in done.stdout.splitlines() if re.match(r"\d   ", line)]
    counts = [[0 if cell == "." else int(cell) for cell in row] for row in table]
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (y, guesses), 1)
    assert counts == expected.tolist()


def test_demo_in_ascii(tmp_path):
    done = command("demo", "--epochs", "3", env=environment(PYTHONIOENCODING="ascii"))
    assert done.returncode == 0 and done.stdout.isascii() and "##" in done.stdout


def test_demo_with_a_seed_is_repeatable(capsys):
    def printed(seed: str) -> str:
        assert main(["demo", "--epochs", "2", "--seed", seed]) == 0
        return re.sub(r"in [\d.]+ s", "", capsys.readouterr().out)

    assert printed("5") == printed("5") != printed("6")


def test_demo_without_the_fashion_files(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("cnet.datasets.fashion_mnist._DEBIAN_FOLDER", str(tmp_path))
    assert main(["demo", "--fashion"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and "Traceback" not in printed.err
    assert str(tmp_path) in printed.err and "dataset-fashion-mnist" in printed.err


@pytest.mark.fashion
@pytest.mark.slow
def test_demo_on_fashion(capsys):
    assert main(["demo", "--fashion"]) == 0
    printed = capsys.readouterr().out
    (right,) = re.findall(r"([\d.]+)% of the pieces of clothing held out", printed)
    assert float(right) > 85
    assert "9 Ankle boot" in printed and "predicts the same" in printed


def test_demo_says_so_if_the_loaded_network_differs(monkeypatch, capsys):
    def load_something_else(path):
        net = cnet.load(path)
        net.parameters["dense_2.bias"][0] += 1
        return net

    monkeypatch.setattr(demo, "load", load_something_else)
    assert main(["demo", "--epochs", "1"]) == 1
    assert "predicts something else" in capsys.readouterr().out


# ---- the parts of it ---------------------------------------------------------------------------


def test_confusion_matrix():
    labels, guesses = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 2, 0])
    lines = demo.confusion_matrix(("cat", "dog", "cow"), labels, guesses).splitlines()
    assert lines[1].split() == ["0", "1", "2"]
    assert [line.split() for line in lines[2:]] == [
        ["0", "cat", "1", "1", "."],
        ["1", "dog", ".", "1", "."],
        ["2", "cow", "1", ".", "2"],
    ]
    assert len({len(line) for line in lines[1:]}) == 1


def test_chosen_pictures():
    labels = np.array([0, 1, 0, 1, 1, 0])
    outputs = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.9, 0.1], [0.8, 0.2]])
    # Rows 1, 2 and 4 are wrong, 4 the surest of them; 0 and 3 are the first right of their class.
    assert demo.choose(labels, outputs, 4, 2) == [0, 3, 4, 2]
    assert demo.choose(labels, outputs, 2, 1) == [0, 4]
    assert demo.choose(labels[[1, 2]], outputs[[1, 2]], 4, 1) == [1]


def test_pictures_keep_their_proportions():
    image = np.array([[0.0, 0.5], [1.0, 0.26]])
    assert demo.draw(image, demo.BLOCKS) == ["  ▒▒", "██░░"]
    large = demo.draw(np.ones((28, 28)), demo.LETTERS)
    assert large == ["#" * 28] * 14


def test_encodings():
    class Stream:
        def __init__(self, encoding):
            self.encoding = encoding

    assert demo.carries(Stream("utf-8"), demo.BLOCKS) and demo.carries(Stream("cp437"), demo.BLOCKS)
    for encoding in ("ascii", "latin-1", None, "unheard-of"):
        assert not demo.carries(Stream(encoding), demo.BLOCKS)
    assert not demo.carries(None, demo.BLOCKS)


# ---- the command line --------------------------------------------------------------------------


def test_no_command_prints_the_help(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "usage: cnet" in printed and "demo" in printed and "info" in printed


def test_info_and_version(capsys):
    assert main(["info"]) == 0
    assert capsys.readouterr().out == f"{cnet.info()}\n"
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"cnet {cnet.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--epochs", "0"], "--epochs: expected a whole number of at least 1"),
        (["demo", "--epochs", "two"], "got 'two'"),
        (["demo", "--seed", "-1"], "--seed: expected a whole number of at least 0"),
        (["demo", "--seed", str(1 << 64)], "below 2**64"),
        (["demo", "--save", "no/such/folder/net"], "there is no folder"),
        (["demo", "--save", "."], "is a folder"),
        (["train"], "invalid choice: 'train'"),
    ],
)
def test_bad_arguments_are_refused_before_the_training(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    assert ended.value.code == 2 and message in printed.err and printed.out == ""


def test_interruption_is_quiet(monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupted)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == ""


def test_no_standard_output(monkeypatch):
    """A windowed program has none."""
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["info"]) == 0


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize(
    ("arguments", "stream"),
    [(["demo", "--epochs", "2"], "stdout"), (["demo", "--epochs", "2"], "stderr"),
     (["--help"], "stdout")],
)  # fmt: skip
def test_a_closed_pipe_is_quiet(arguments, stream):
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: writer}
    try:
        done = command(*arguments, capture_output=False, **streams)
    finally:
        os.close(writer)
    # argparse itself ignores what becomes of its help, unless that is still in the buffer.
    assert done.returncode in ((0, 1) if arguments == ["--help"] else (1,))
    assert "Broken" not in (done.stderr or "") and "Traceback" not in (done.stderr or "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_disk_is_an_error_without_a_traceback():
    with open("/dev/full", "w") as full:
        done = command("info", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.startswith("cnet: [Errno 28]") and done.stderr.count("\n") == 1


# ---- examples ----------------------------------------------------------------------------------


def example(name: str, capsys, *arguments: str) -> str:
    with mock.patch.object(sys, "argv", [name, *arguments]):
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


@needs_examples
def test_first_network(capsys):
    printed = example("first_network.py", capsys)
    (right,) = re.findall(r"puts ([\d.]+)% right", printed)
    assert float(right) >= 94
    assert "the same predictions, bit for bit" in printed


@needs_examples
def test_by_hand(capsys):
    printed = example("by_hand.py", capsys)
    for figure in ("0.751365070", "0.298371109", "0.138498562", "0.082167041", "0.358916480",
                   "0.149780716", "0.291027774"):  # fmt: skip
        assert figure in printed


@needs_examples
def test_regression(capsys):
    printed = example("regression_float64.py", capsys)
    errors = [float(e) for e in re.findall(r"off by ([\d.]+) m", printed)]
    assert len(errors) == 3 and errors == sorted(errors, reverse=True) and errors[-1] < 0.5
    slopes = re.findall(r"^metres per .* (-?[\d.]+) +(-?[\d.]+)$", printed, re.MULTILINE)
    assert len(slopes) == 3
    for network, simulation in slopes:
        assert float(network) == pytest.approx(float(simulation), rel=0.2)


@needs_examples
@pytest.mark.fashion
@pytest.mark.slow
def test_fashion(capsys):
    (right,) = re.findall(r"([\d.]+)% of the 10,000 test", example("fashion_mnist.py", capsys))
    assert float(right) > 87


@needs_examples
@pytest.mark.fashion
@pytest.mark.slow
def test_fashion_recipe(capsys):
    """Its course is the same with two epochs instead of fifty."""
    folder = str(cnet.datasets.fashion_mnist._DEBIAN_FOLDER)
    printed = example("fashion_mnist_recipe.py", capsys, folder, "2")
    (right,) = re.findall(r"([\d.]+)% of the 10,000 test images after", printed)
    assert float(right) > 84


@needs_examples
@pytest.mark.parametrize("name", ["fashion_mnist.py", "fashion_mnist_recipe.py"])
def test_fashion_without_the_files(tmp_path, capsys, name):
    with pytest.raises(SystemExit, match="dataset-fashion-mnist"):
        example(name, capsys, str(tmp_path))


@needs_examples
def test_every_example_is_tested():
    tested = pathlib.Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'example("{path.name}"' in tested


# ---- benchmarks/fashion_mnist.py ---------------------------------------------------------------


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return pytest.importorskip("benchmarks.fashion_mnist")


@pytest.mark.fashion
@pytest.mark.slow
def test_fashion_mnist_in_seven_epochs(benchmark):
    recipe = benchmark.Recipe((100,), ((2e-3, 5), (2e-4, 2)), 0.871)
    outcome = benchmark.train(recipe, verbose=0)
    assert outcome.accuracy >= recipe.goal
    assert outcome.parameters == 784 * 100 + 100 + 100 * 10 + 10
    report = benchmark.render({recipe: outcome}, {"CPU": "x"}, "a command")
    assert f"| {outcome.accuracy:.2%} | 87.1% |" in report
    assert "| 7 | 0.0002 |" in report and "| 8 |" not in report


def test_the_stored_report_reaches_its_goals(benchmark):
    text = benchmark.OUTPUT.read_text(encoding="utf-8")
    for recipe in benchmark.RECIPES:
        (reached,) = re.findall(rf"^\| {recipe.name} \|.*?\| ([\d.]+)% \|", text, re.MULTILINE)
        assert float(reached) / 100 >= recipe.goal
        assert sum(epochs for _, epochs in recipe.stages) <= 20


def test_fashion_mnist_without_the_files(benchmark, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("cnet.datasets.fashion_mnist._DEBIAN_FOLDER", str(tmp_path))
    assert benchmark.main(["--output", str(tmp_path / "report.md")]) == 1
    assert "dataset-fashion-mnist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

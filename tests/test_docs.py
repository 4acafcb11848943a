"""What the documentation says is so: its code runs, its tables are whole, its files are there."""

import ast
import pathlib
import re
import shlex
import tomllib

import numpy as np
import pytest

import cnet
from cnet import blocks, columns, layers, noise, norms

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ARCHITECTURE,
    ROOT / "docs" / "adding.md",
    ROOT / "docs" / "depth.md",
    ROOT / "benchmarks" / "README.md",
]
needs_sources = pytest.mark.skipif(
    not (ROOT / "csrc").is_dir(), reason="this is not the source tree"
)


def section(text: str, title: str) -> str:
    """Return what is under a heading, up to the next one of its level or a higher one."""
    found = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert found, f"no heading {title!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def cells(text: str) -> list[list[str]]:
    """Return the cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def names_of(title: str) -> list[str]:
    """Return what stands in the first column of a table, as code."""
    return [name for row in cells(section(README, title)) for name in code(row[0])]


# ---- README ------------------------------------------------------------------------------------

BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run(block: str, folder: pathlib.Path, monkeypatch) -> dict:
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_first_network(tmp_path, monkeypatch, capsys):
    (block,) = (b for b in BLOCKS if "load_digits" in b)
    assert len([line for line in block.splitlines() if line]) <= 13
    names = run(block, tmp_path, monkeypatch)
    assert names["net"].evaluate(names["x_test"], names["y_test"])["accuracy"] >= 0.97
    loaded = cnet.load(tmp_path / "digits.safetensors")
    x = names["x_test"]
    assert np.array_equal(loaded.predict(x), names["net"].predict(x))
    assert "'accuracy': 0.9" in capsys.readouterr().out


def test_backpropagation_by_hand(tmp_path, monkeypatch, capsys):
    (block,) = (b for b in BLOCKS if "net.backward" in b)
    names = run(block, tmp_path, monkeypatch)
    assert names["loss"](names["net"].predict(names["x"]), names["y"]) < 0.05
    assert (names["net"].predict(names["x"])[:, 0] > 0.5).tolist() == [False, True, True, False]
    assert names["dx"].shape == (4, 2)
    assert "(2, 8)" in capsys.readouterr().out


def test_parts_of_your_own(tmp_path, monkeypatch, capsys):
    (block,) = (b for b in BLOCKS if "custom" in b)
    names = run(block, tmp_path, monkeypatch)
    assert names["net"].evaluate(names["x"], names["y"])["accuracy"] > 0.95
    assert "largest relative error" in capsys.readouterr().out
    assert sorted(names_of("Parts of your own")) == sorted(cnet.custom.__all__)


def test_a_table(tmp_path, monkeypatch, capsys):
    (block,) = (b for b in BLOCKS if "Columns" in b)
    names = run(block, tmp_path, monkeypatch)
    found = names["net"].evaluate(names["x"], names["price"])
    assert found["r2"] > 0.9 and found["mae"] < 0.5 * names["price"].std()
    assert names["net"].target_scaling.shift[0] == np.median(names["price"][:1600])
    assert "array" not in capsys.readouterr().out


def test_every_block_of_the_readme_is_run():
    assert len(BLOCKS) == 4


def test_layers():
    kinds = layers.KINDS | columns.KINDS | noise.KINDS | norms.KINDS | blocks.KINDS
    assert sorted(names_of("Layers")) == sorted(cls.__name__ for cls in kinds.values())
    assert all(hasattr(cnet, name) for name in names_of("Layers"))


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("Activations", cnet.activations.names()),
        ("Losses", cnet.losses.names()),
        ("Initialisers", cnet.initializers.names()),
    ],
)
def test_names(title, names):
    assert sorted(names_of(title)) == sorted(names)


def test_losses_are_written_with_their_defaults():
    for name, written, _ in cells(section(README, "Losses")):
        loss = eval(written.strip("`"), vars(cnet.losses))
        assert loss == cnet.losses.get(name.strip("`")), name
        for field in loss.fields:
            assert f"{field}=" in written, f"{name} has {field}"


def test_optimizers_are_written_with_their_defaults():
    written = names_of("Optimizers")
    for call in written:
        optimizer = eval(call, vars(cnet))
        assert optimizer == type(optimizer)(), call
        for field in set(optimizer.fields) - set(cnet.optimizers.Optimizer.fields):
            assert f"{field}=" in call, f"{call} has {field}"
        assert "learning_rate=" in call
    assert sorted(call.partition("(")[0].lower() for call in written) == sorted(
        cnet.optimizers.names()
    )


def test_schedules_are_written_with_their_settings():
    written = names_of("Learning rates")
    for call in written:
        cls = getattr(cnet.schedules, call.partition("(")[0])
        settings = [
            f"{name}={cls.defaults[name]}" if name in cls.defaults else name
            for name in cls.fields if name != "per"
        ]  # fmt: skip
        assert call == f"{cls.__name__}({', '.join(settings)})"
    assert sorted(call.partition("(")[0] for call in written) == sorted(cnet.schedules.names())


def test_augmentations_are_written_with_their_settings():
    written = names_of("Augmentation")
    public = set(cnet.augment.__all__) - {"Augmentation", "preview"}
    assert sorted(call.partition("(")[0] for call in written) == sorted(public)
    for call in written:
        cls = getattr(cnet.augment, call.partition("(")[0])
        settings = [
            f"{name}={cls.defaults[name]}" if name in cls.defaults else name
            for name in cls.fields if name != "probability"
        ]  # fmt: skip
        assert call == f"{cls.__name__}({', '.join(settings)})"


def test_normalizers_are_written_with_their_defaults():
    rows = cells(section(README, "Normalisation"))
    assert [code(row[0])[0] for row in rows] == list(cnet.normalizers.names())
    for name, written, *_ in rows:
        made = eval(code(written)[0], vars(cnet))
        assert made == cnet.normalizers.get("normalize_inputs", code(name)[0])
        assert all(f"{field}=" in written for field in made.fields)


def test_metrics_and_data():
    assert sorted(names_of("Metrics")) == sorted(cnet.metrics.names())
    for names, written, _ in cells(section(README, "Metrics")):
        if written:
            (name,), (call,) = code(names), code(written)
            metric = eval(call, vars(cnet.metrics))
            assert metric == type(metric)() and metric.default_name == name
            for field in set(metric.fields) - {"name"}:
                assert f"{field}=" in call, f"{call} has {field}"
    data = [name for name in code(section(README, "Data")) if name != "cnet.datasets"]
    assert sorted(data) == sorted(n for n in cnet.datasets.__all__ if n.islower())


@needs_sources
def test_commands():
    """The two lines that set everything up name what is there, and work in an empty folder."""
    lines = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)
    assert len(lines) == 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for line in lines:
        make, activate, install, check = (shlex.split(part) for part in line.split("&&"))
        assert make == ["python3", "-m", "venv", ".venv"]
        assert activate == [".", ".venv/bin/activate"]
        assert install[:2] == ["pip", "install"]
        for extra in re.findall(r"\[(\w+)\]", install[-1]):
            assert extra in project["optional-dependencies"]
        assert check[:2] == ["python", "-m"]
    assert project["scripts"] == {"cnet": "cnet.__main__:main"}


@needs_sources
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if not link.startswith("https://"):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


# ---- architecture.md ---------------------------------------------------------------------------


def rooms(title: str) -> list[str]:
    text = section(ARCHITECTURE.read_text(encoding="utf-8"), title)
    return [row[0].strip("`") for row in cells(text)]


@needs_sources
@pytest.mark.parametrize(
    ("title", "patterns"),
    [
        ("csrc/", ["*.h", "*.c", "*.inc"]),
        ("cnet/_core/", ["*.py", "*.pyx", "*.pxd"]),
        ("cnet/", ["*.py", "datasets/*.py"]),
    ],
)
def test_every_file_is_in_the_architecture(title, patterns):
    folder = ROOT / title
    files = [path.relative_to(folder).as_posix() for p in patterns for path in folder.glob(p)]
    assert sorted(rooms(title)) == sorted(files)


def imported(path: pathlib.Path) -> set[str]:
    """Return the modules of cnet that a file imports at run time, as paths in cnet/."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cnet":
            modules |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    paths = {module.replace(".", "/").removeprefix("cnet/") for module in modules}
    return {f"{p}{end}" for p in paths for end in (".py", "/__init__.py")}


@needs_sources
def test_modules_import_those_above_them():
    order = rooms("cnet/")
    for place, name in enumerate(order):
        known = imported(ROOT / "cnet" / name) & set(order)
        late = {module for module in known if order.index(module) >= place}
        assert not late, f"{name} imports {late}"


@needs_sources
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    """Paths in code, such as `csrc/cnet.h`."""
    for word in code(re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.S | re.M)):
        if re.fullmatch(r"(csrc|cnet|tests|docs|examples|benchmarks)(/\w+)*(/|/\w+\.\w+)", word):
            assert (ROOT / word).exists(), f"{page.name} names {word}"

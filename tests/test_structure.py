"""The plan of the house: who imports whom, what the C half may use, and what import costs.

Lists here are the plan itself. A new module takes its place in one of them.
"""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
if not (ROOT / "csrc").is_dir():
    pytest.skip("only the installed package is here, not its sources", allow_module_level=True)

# A module imports from those before it.
MODULES = [
    "version", "arrays", "description", "errors", "files", "threads", "activations", "initializers",
    "regularizers", "constraints", "program", "layers", "columns", "noise", "norms", "blocks",
    "losses", "rates", "schedules", "optimizer", "whole", "optimizers", "normalizers", "calls",
    "custom", "classes", "groups", "averaging", "data", "augmentation", "warps", "augment",
    "deviations", "scores", "measures", "metrics", "datasets", "assembly", "summary", "history",
    "state", "progress", "context", "hooks", "diagnosis", "measured", "fingerprints", "resuming",
    "checkpoints", "logs", "callbacks", "compiled", "training", "lbfgs", "shards", "streams",
    "preparing", "fitting", "assembled", "weights", "adapted", "byhand", "model", "differences",
    "range_test", "io", "info", "demo", "__main__",
]  # fmt: skip
CORE = [
    "csrc", "kernels", "activations", "sources", "losses", "optimizers", "dense", "noise",
    "workspace", "augment", "foreign", "routes", "operations", "inference", "arena", "network",
    "statistics", "rules", "guard", "rows", "training",
]  # fmt: skip
# What may be imported besides, when the package is: Python's own modules and NumPy.
HEAVY = ("scipy_openblas32", "matplotlib", "pandas", "polars", "torch", "json", "dataclasses")

LONGEST = 400  # lines
SOURCES = [
    *(ROOT / "cnet").rglob("*.py"),
    *(ROOT / "cnet").rglob("*.py[xdi]"),
    *(ROOT / "cnet").rglob("*.pxd"),
    *(ROOT / "csrc").iterdir(),
    *(ROOT / "benchmarks").rglob("*.py"),
    *(ROOT / "tests").rglob("*.py"),
    ROOT / "setup.py",
]


def modules_of(tree: ast.AST, package: str) -> set[str]:
    """Return what a module imports of a package when it runs: not what type checkers alone read."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            found.add("(relative)")
        elif isinstance(node, ast.ImportFrom) and node.module == package:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(package + "."):
            found.add(node.module.removeprefix(package + ".").split(".")[0])
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found |= {name.partition(".")[2] for name in names if name.split(".")[0] == package}
        else:
            found |= modules_of(node, package)
    return found


def parsed(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# ---- imports -------------------------------------------------------------------------------------


def test_every_module_has_its_place():
    modules = {path.stem for path in (ROOT / "cnet").glob("*.py")} - {"__init__"}
    assert modules | {"datasets"} == set(MODULES)
    core = ROOT / "cnet/_core"
    assert {path.stem for path in core.glob("*.p[yx][xd]")} == set(CORE)
    from cnet._core import MODULES as compiled

    assert {path.stem for path in core.glob("*.pyx")} | {"_cyutility"} == set(compiled)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    path = ROOT / "cnet" / f"{module}.py"
    paths = [path] if path.exists() else sorted((ROOT / "cnet" / module).glob("*.py"))
    for path in paths:
        imported = modules_of(parsed(path), "cnet") - {"_core"}
        if module == "datasets":
            imported -= {"datasets"}
        late = imported - set(MODULES[: MODULES.index(module)])
        assert not late, f"{path.name} imports {', '.join(sorted(late))}, which comes after it"


def test_this_notices_an_import_that_goes_back():
    tree = ast.parse(
        "if TYPE_CHECKING:\n    from cnet.model import Sequential\n"
        "from cnet import losses as l, errors\n"
        "import cnet.io\n"
        "def f():\n    from cnet.training import fit\n"
    )
    assert modules_of(tree, "cnet") == {"losses", "errors", "io", "training"}


def test_the_package_itself_is_a_list_of_names():
    tree = parsed(ROOT / "cnet/__init__.py")
    kinds = {type(node).__name__ for node in tree.body}
    assert kinds <= {"Expr", "Import", "ImportFrom", "Assign"}
    import cnet

    assert all(hasattr(cnet, name) for name in cnet.__all__)
    imported = {
        alias.asname or alias.name
        for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }  # fmt: skip
    assert imported == set(cnet.__all__) | {"__version__"}
    assert cnet.__version__


@pytest.mark.parametrize("module", CORE)
def test_compiled_modules_go_one_way_and_name_nothing_above_them(module):
    for suffix in (".pyx", ".pxd"):
        path = ROOT / "cnet/_core" / (module + suffix)
        if not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        lines = re.findall(r"^\s*(?:from|import|cimport)\s+cnet\b.*(?:\([^)]*\))?", text, re.M)
        for line in lines:
            assert re.match(r"\s*from cnet\._core", line), f"{path.name}: {line}"
            names = re.match(r"\s*from cnet\._core\.(\w+)", line)
            found = [names[1]] if names else re.split(r"import", line)[1].strip(" ()").split(",")
            late = {name.strip() for name in found} - set(CORE[: CORE.index(module)])
            assert not late, f"{path.name} imports {late}, which comes after it"


# ---- the C half ----------------------------------------------------------------------------------


def without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)


@pytest.mark.parametrize("path", sorted((ROOT / "csrc").iterdir()), ids=lambda p: p.name)
def test_kernels_neither_know_python_nor_allocate_nor_print(path):
    text = without_comments(path.read_text(encoding="utf-8"))
    includes = set(re.findall(r"#\s*include\s*[<\"]([^>\"]+)", text))
    own = {file.name for file in (ROOT / "csrc").iterdir()}
    standard = {"stddef.h", "stdint.h", "string.h", "math.h", "float.h", "limits.h"}
    if path.name == "pool.c":
        standard |= {"pthread.h", "signal.h", "windows.h"}
    assert not includes - own - standard
    calls = r"\b(\w*alloc|free|alloca|\w*printf|puts|abort|exit|assert|getenv|Py\w+|omp_\w+)\s*\("
    assert not re.findall(calls, text)


def test_the_c_half_is_declared_in_one_place():
    places = [
        path.name
        for path in sorted((ROOT / "cnet").rglob("*.p[yx][xd]"))
        if re.search(r"^\s*cdef\s+extern\b", path.read_text(encoding="utf-8"), re.M)
    ]
    assert places == ["csrc.pxd"]


# ---- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(set(SOURCES)), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_too_long_to_read(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{lines} lines; split it where its subject changes"


# ---- what import costs ---------------------------------------------------------------------------


def run(code: str, **environment: str) -> str:
    """Run Python code in a process of its own, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
def test_import_starts_no_thread():
    """And neither does a small network: OpenBLAS comes when a product is large enough for it."""
    code = (
        "import os, numpy\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "import cnet\n"
        "net = cnet.Sequential([cnet.Dense(8, 'tanh'), cnet.Dense(1)], seed=1)\n"
        "net.compile('adam', 'mse')\n"
        "net.fit(numpy.ones((100, 4)), numpy.ones(100), verbose=0)\n"
        "print(len(os.listdir('/proc/self/task')) - before)\n"
    )
    assert run(code) == "0\n"


def test_import_brings_in_no_other_package():
    code = (
        "import sys, numpy\n"
        "before = set(sys.modules)\n"
        "import cnet\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))\n"
    )
    found = set(run(code).split())
    assert "cnet" in found
    # Cython's own entry, which has no file, and whatever tools for editable installations add.
    allowed = {"cnet", "cython_runtime", *sys.stdlib_module_names}
    assert not {name for name in found - allowed if not name.startswith("_")}
    assert not found & set(HEAVY)


def test_import_changes_nothing_for_others():
    code = (
        "import locale, os, signal, sys, warnings, numpy\n"
        "def state():\n"
        "    return (dict(os.environ), warnings.filters[:], signal.getsignal(signal.SIGINT),\n"
        "            sys.path[:], sys.excepthook, numpy.geterr(),\n"
        "            numpy.random.get_state()[1].tolist())\n"
        "before = state()\n"
        "import cnet\n"
        "print(state() == before)\n"
    )
    assert run(code) == "True\n"


@pytest.mark.slow
def test_import_is_quick(tmp_path):
    """Beyond NumPy's own; the best of a few, in seconds. It takes 0.015 on a quiet machine."""
    compiled = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    run("import cnet", **compiled)
    code = (
        "import time, numpy\n"
        "began = time.perf_counter()\n"
        "import cnet\n"
        "print(time.perf_counter() - began)\n"
    )
    assert min(float(run(code, **compiled)) for _ in range(7)) < 0.06

"""The stubs of the compiled modules say what these are, and the package knows its own version."""

import ast
import importlib
import inspect
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import cnet
import cnet._core

CORE = Path(cnet._core.__file__).parent
STUBS = sorted(CORE.glob("*.pyi"))
COMPILED = set(cnet._core.MODULES)


def public_names(module) -> set[str]:
    """Names that a compiled module defines: what it imported has another home."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and (name.isupper() or getattr(value, "__module__", None) == module.__name__)
    }


def defined(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Public names that a stub defines, with their definitions."""
    found = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            found[node.target.id] = node
    return {name: node for name, node in found.items() if not name.startswith("_")}


def arguments(function: ast.FunctionDef) -> list[tuple[str, object]]:
    """Names and defaults of a stub's arguments."""
    names = [argument.arg for argument in function.args.args]
    defaults = [ast.literal_eval(value) for value in function.args.defaults]
    missing = [inspect.Parameter.empty] * (len(names) - len(defaults))
    return list(zip(names, missing + defaults, strict=True))


def actual(function) -> list[tuple[str, object]]:
    """Names and defaults of a compiled function's arguments."""
    return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]


def test_every_compiled_module_has_a_stub():
    assert {path.stem for path in STUBS} == COMPILED - {"_cyutility"}


def test_one_library_has_all_compiled_modules():
    (library,) = (path for path in CORE.iterdir() if path.suffix in {".so", ".pyd"})
    for name in COMPILED:
        module = importlib.import_module(f"cnet._core.{name}")
        assert Path(module.__file__).samefile(library), name
        assert module.__spec__.name == module.__name__ == f"cnet._core.{name}"
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'cnet\._core\.other'"):
        importlib.import_module("cnet._core.other")


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.stem)
def test_stub_says_what_the_module_has(stub):
    module = importlib.import_module(f"cnet._core.{stub.stem}")
    names = defined(ast.parse(stub.read_text(encoding="utf-8")).body)
    imported = {n for n in public_names(module) if n.isupper()} - set(names)
    home = vars(cnet._core.kernels)
    # Tables that a module imported from `kernels` are the same objects there.
    strangers = {n for n in imported if home.get(n) is not vars(module)[n]}
    assert set(names) == public_names(module) - imported and not strangers
    for name, node in names.items():
        if isinstance(node, ast.FunctionDef):
            assert arguments(node) == actual(vars(module)[name]), name
        elif isinstance(node, ast.ClassDef):
            members = defined(node.body)
            kind = vars(module)[name]
            public = {m for m in vars(kind) if not m.startswith("_")}
            assert set(members) == public, name
            for member, method in members.items():
                if not method.decorator_list:
                    assert arguments(method) == actual(getattr(kind, member)), f"{name}.{member}"


def test_an_installation_without_the_library_says_so(tmp_path):
    shutil.copytree(CORE.parent, tmp_path / "cnet", ignore=shutil.ignore_patterns("*.so", "*.pyd"))
    done = subprocess.run(
        [sys.executable, "-c", "import cnet"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: cnet's compiled modules, kernels.")
    assert str(tmp_path / "cnet" / "_core") in last and "pip install" in last


def test_version():
    assert cnet.__version__ == metadata.version("cnet")

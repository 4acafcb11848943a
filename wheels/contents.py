"""Checks what is in wheels: ``python wheels/contents.py dist/*.whl``.

A wheel has one library of compiled modules, a stub for each of them, and no source; one for CPython
with a stable ABI is tagged so. Prints where the bytes are.
"""

from __future__ import annotations

import ast
import sys
import zipfile
from pathlib import Path, PurePosixPath

LARGEST = 1_200_000  # bytes of a wheel: whoever passes this limit should know why
SOURCES = {".c", ".h", ".inc", ".pyx", ".pxi", ".o"}
COMPILED = {".so", ".pyd"}
SHARED = "_cyutility"  # Cython's own, without anything to call
NEEDED = [
    "cnet/py.typed",
    "cnet/__init__.pxd",
    "cnet/_core/kernels.pxd",
    "cnet/datasets/digits-LICENSE.txt",
]


def modules_of(source: bytes) -> set[str]:
    """Return what the package of compiled modules says that it has."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODULES":
            return set(ast.literal_eval(node.value))
    return set()


def faults(wheel: Path) -> list[str]:
    """Say what is wrong with a wheel."""
    found: list[str] = []
    with zipfile.ZipFile(wheel) as archive:
        files = {PurePosixPath(i.filename): i for i in archive.infolist() if not i.is_dir()}
        modules = modules_of(archive.read("cnet/_core/__init__.py")) - {SHARED}
    for path in files:
        if path.suffix in SOURCES:
            found.append(f"{path} is a source")
        if not path.parts[0].startswith("cnet"):
            found.append(f"{path} lies outside the package")
    found += [f"{name} is missing" for name in NEEDED if PurePosixPath(name) not in files]
    libraries = [path.name for path in files if path.suffix in COMPILED]
    if [name.split(".")[0] for name in libraries] != ["kernels"]:
        found.append(f"compiled are {libraries}, not kernels alone")
    stubs = {path.stem for path in files if path.suffix == ".pyi"}
    if modules != stubs:
        found.append(f"modules {sorted(modules)}, but stubs {sorted(stubs)}")
    python, abi = wheel.stem.split("-")[2:4]
    if not abi.endswith("t") and (python, abi) != ("cp311", "abi3"):
        found.append(f"the tag is {python}-{abi}, not cp311-abi3")
    if wheel.stat().st_size > LARGEST:
        found.append(f"{wheel.stat().st_size} bytes are more than {LARGEST}")
    for path, info in sorted(files.items(), key=lambda item: -item[1].compress_size)[:10]:
        print(f"  {info.compress_size:9,} of {info.file_size:9,}  {path}")
    print(f"  {wheel.stat().st_size:9,} bytes  {wheel.name}")
    return found


def main(arguments: list[str]) -> int:
    """Check every wheel named; 0 if all are good and there is one."""
    if not arguments:
        print("usage: python wheels/contents.py WHEEL...", file=sys.stderr)
        return 2
    wrong = [f"{name}: {fault}" for name in arguments for fault in faults(Path(name))]
    print("\n".join(wrong) if wrong else "every wheel has what it should")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Tries out an installed cnet, with nothing but the standard library: ``python wheels/smoke.py``.

With ``--alone`` it also insists that the environment holds what cnet depends on and nothing else.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np

import cnet

ALLOWED = {"cnet", "numpy", "scipy-openblas32", "pip", "setuptools"}
LOSS = "sparse_categorical_crossentropy"


def expect(good: bool, what: str) -> None:
    """Say what holds, or stop with what does not."""
    if not good:
        raise SystemExit(f"FAILED: {what}")
    print(f"ok: {what}")


def check_environment() -> None:
    """Nothing is installed that cnet does not ask for."""
    found = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    expect(found <= ALLOWED, f"installed: {', '.join(sorted(found))}")
    expect("site-packages" in cnet.__file__, f"cnet comes from {cnet.__file__}")


def check_build() -> None:
    """The kernels of this machine are there, and OpenBLAS where it is installed and wanted."""
    info = cnet.info()
    print(info)
    expect(info["cnet"] == importlib.metadata.version("cnet"), f"version {info['cnet']}")
    expect(info["isa"] in info["isas"] and info["isas"][-1] == "baseline", "instruction sets")
    try:
        importlib.metadata.version("scipy-openblas32")
    except importlib.metadata.PackageNotFoundError:
        expect(info["blas"] is None, "no OpenBLAS")
        return
    if info["isa"] == "avx2":
        expect(info["blas"] is None, "OpenBLAS is left alone")
    else:
        expect(str(info["blas"]).startswith("OpenBLAS"), "OpenBLAS is in use")


def check_gradient() -> None:
    """The directional derivative of a small network is that of its gradients."""
    net = cnet.Sequential([cnet.Dense(5, "tanh"), cnet.Dense(3)], seed=1, dtype="float64")
    net.build(4)
    rng = np.random.default_rng(1)
    x, direction = rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    net.forward(x)
    net.zero_gradients()
    net.backward(direction)
    weight, slope = net.parameters["dense_1.weight"], net.gradients["dense_1.weight"].copy()
    step = rng.normal(size=weight.shape)
    values = []
    for h in (1e-6, -2e-6):
        weight += h * step
        values.append(float(np.sum(net.forward(x) * direction)))
    numeric, exact = (values[0] - values[1]) / 2e-6, float(np.sum(slope * step))
    expect(abs(numeric - exact) <= 1e-7 * abs(exact), f"gradient {exact:.6f}, by differences too")


def check_training() -> None:
    """A network learns the digits; its file and its pickle compute the same."""
    (x, y), (x_test, y_test) = cnet.datasets.load_digits(split=True)
    layers = [cnet.Flatten(), cnet.Dense(128, "relu"), cnet.Dense(10, "softmax")]
    for dtype in ("float32", "float64"):
        net = cnet.Sequential(layers, seed=1, dtype=dtype, scale=1 / 16)
        net.compile(optimizer="adam", loss=LOSS, metrics=["accuracy"])
        history = net.fit(x, y, epochs=30, verbose=0)
        loss = history["loss"]
        expect(loss[-1] < 0.1 * loss[0], f"{dtype}: loss {loss[0]:.3f} to {loss[-1]:.4f}")
        accuracy = net.evaluate(x_test, y_test)["accuracy"]
        expect(accuracy > 0.95, f"{dtype}: {accuracy:.1%} of unseen digits are right")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "digits.safetensors"
            cnet.save(net, file)
            loaded = cnet.load(file)
        expected = net.predict(x_test)
        for other in (loaded, pickle.loads(pickle.dumps(net))):
            expect(np.array_equal(other.predict(x_test), expected), f"{dtype}: a copy is the same")


def main() -> None:
    """Run every check; the first that fails ends the process with status 1."""
    parser = argparse.ArgumentParser(description="Try out an installed cnet.")
    parser.add_argument("--alone", action="store_true", help="nothing else may be installed")
    if parser.parse_args().alone:
        check_environment()
    check_build()
    check_gradient()
    check_training()
    print(f"cnet {cnet.__version__} works on Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()

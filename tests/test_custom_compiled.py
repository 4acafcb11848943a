"""Activations in compiled code: here in C, handed over in capsules as `cimport cnet` does."""

import ctypes
import pickle
import shutil
import subprocess

import numpy as np
import pytest
from networks import refused, regression

import cnet
from cnet import custom

SOURCE = """
#include <math.h>
#include <stddef.h>
#define PAIR(T, suffix, exp)                                                                   \\
    void forward_##suffix(size_t n, const double *set, const T *x, T *y)                       \\
    {                                                                                          \\
        for (size_t i = 0; i < n; i++)                                                         \\
            y[i] = (T)set[1] * x[i] / (1 + exp(-(T)set[0] * x[i]));                            \\
    }                                                                                          \\
    void backward_##suffix(size_t n, const double *set, const T *x, const T *y, const T *dy,   \\
                           T *dx)                                                              \\
    {                                                                                          \\
        for (size_t i = 0; i < n; i++) {                                                       \\
            T s = 1 / (1 + exp(-(T)set[0] * x[i]));                                            \\
            dx[i] = dy[i] * ((T)set[1] * s + (T)set[0] * y[i] * (1 - s));                      \\
        }                                                                                      \\
    }
PAIR(float, f32, expf)
PAIR(double, f64, exp)
"""
# A capsule does not keep its name alive.
NAMES = {
    (way, suffix): f"cnet.activation.{way}.{suffix}".encode()
    for way in ("forward", "backward") for suffix in ("f32", "f64")
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def kernels(tmp_path_factory):
    """Give the class below its functions, in capsules of the names that cnet/__init__.pxd has."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "kernels.c").write_text(SOURCE, encoding="utf-8")
    command = [compiler, "-O1", "-shared", "-fPIC", "kernels.c", "-lm", "-o", "kernels.so"]
    subprocess.run(command, cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "kernels.so"))
    new = ctypes.pythonapi.PyCapsule_New
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    new.restype = ctypes.py_object

    def capsule(way, suffix):
        address = ctypes.cast(getattr(library, f"{way}_{suffix}"), ctypes.c_void_p)
        return new(address, NAMES[way, suffix], None)

    Swoosh.kernels = {
        dtype: (capsule("forward", suffix), capsule("backward", suffix))
        for dtype, suffix in (("float32", "f32"), ("float64", "f64"))
    }


class Swoosh(custom.CompiledActivation):
    beta: float = 1.0
    scale: float = 1.0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_same_as_cnets_own(dtype):
    x, y = regression(90, dtype=dtype)
    nets = []
    for activation in (Swoosh(), "silu"):
        layers = [
            cnet.Dense(6, activation, kernel_initializer="he_uniform"),
            cnet.Activation(activation),
            cnet.Dense(2),
        ]
        net = cnet.Sequential(layers, seed=1, dtype=dtype).compile("adam", "mse")
        net.fit(x, y, epochs=3, verbose=0, threads=2)
        nets.append(net)
    own, same = nets
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(own.predict(x), same.predict(x), atol=tolerance)
    x = np.tile(x, (9, 1))
    np.testing.assert_array_equal(own.predict(x, threads=1), own.predict(x, threads=2))


def test_settings_and_gradient():
    x = regression(6)[0]
    part = Swoosh(beta=1.7, scale=-2)
    net = cnet.Sequential([cnet.Activation(part)], dtype="float64").build(4)
    np.testing.assert_allclose(net.predict(x), -2 * x / (1 + np.exp(-1.7 * x)), rtol=1e-13)
    assert cnet.gradcheck(part, x).errors["x"] < 1e-8
    with refused(TypeError, "beta must be a number"):
        Swoosh(beta="1")


def test_saved_by_class_and_settings(tmp_path):
    x, y = regression()
    net = cnet.Sequential([cnet.Dense(3, Swoosh(beta=2)), cnet.Dense(2)], seed=1)
    net.compile("adam", "mse").fit(x, y, verbose=0)
    cnet.save(net, tmp_path / "net")
    for other in (
        cnet.load(tmp_path / "net", custom={"Swoosh": Swoosh}),
        pickle.loads(pickle.dumps(net)),
    ):
        np.testing.assert_array_equal(other.predict(x), net.predict(x))


def test_a_class_without_functions():
    class Bare(custom.CompiledActivation):
        pass

    with refused(TypeError, "Bare has no kernels", "activation_kernels"):
        Bare()
    with refused(cnet.GradientError, "shows nothing"):
        cnet.gradcheck(Swoosh(scale=0), regression(3)[0])

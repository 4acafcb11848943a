"""Tries the compiled activation: ``python -P try_it.py``, once the example is installed."""

import pickle

import numpy as np
from swoosh import Swoosh

import cnet


def main() -> None:
    """Compare it with cnet's own, check its gradient, train with it, save and load."""
    x = np.linspace(-6, 6, 600).reshape(100, 6)
    for dtype, limit in (("float32", 1e-6), ("float64", 1e-14)):
        own = cnet.Sequential([cnet.Activation(Swoosh())], dtype=dtype).build(6)
        same = cnet.Sequential([cnet.Activation("silu")], dtype=dtype).build(6)
        assert np.abs(own.predict(x) - same.predict(x)).max() < limit
    print(cnet.gradcheck(Swoosh(beta=1.7), x[:5]))

    x, y = cnet.datasets.make_moons(400, noise=0.1, seed=1)
    net = cnet.Sequential([cnet.Dense(32, Swoosh(beta=1.5)), cnet.Dense(1, "sigmoid")], seed=1)
    net.compile(cnet.Adam(learning_rate=0.02), "binary_crossentropy", ["accuracy"])
    net.fit(x, y, epochs=60, verbose=0, threads=2)
    print(net.evaluate(x, y))
    assert net.evaluate(x, y)["accuracy"] > 0.97
    cnet.save(net, "swoosh.safetensors")
    loaded = cnet.load("swoosh.safetensors", custom={"Swoosh": Swoosh})
    for other in (loaded, pickle.loads(pickle.dumps(net))):
        assert np.array_equal(other.predict(x), net.predict(x))
    print("the compiled activation works")


if __name__ == "__main__":
    main()

"""A first network: tell two interleaved half moons apart.

Run it with `python examples/first_network.py`; it takes a fraction of a second.
"""

import tempfile
from pathlib import Path

import numpy as np

import cnet


def main() -> None:
    # Data are plain arrays: rows are examples, columns are what is known of each.
    x, y = cnet.datasets.make_moons(600, noise=0.15, seed=0)
    x_train, y_train = x[:400], y[:400]
    x_test, y_test = x[400:], y[400:]

    # A description of the network. The input width is taken from the data when training begins.
    net = cnet.Sequential(
        [cnet.Dense(16, "tanh"), cnet.Dense(16, "tanh"), cnet.Dense(2, "softmax")], seed=1
    )
    net.compile(
        optimizer=cnet.Adam(learning_rate=0.01),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    history = net.fit(
        x_train, y_train, epochs=60, batch_size=20, validation_data=(x_test, y_test), verbose=0
    )
    net.summary()
    print("\nHow the training went:")
    print(history)

    found = net.evaluate(x_test, y_test)
    print(f"\nOf 200 points that it has not seen, the network puts {found['accuracy']:.1%} right.")
    point = np.array([[0.5, -0.4]])
    print(f"Probabilities at {point[0]}: {net.predict(point)[0].round(3)}")
    print(f"Class there: {net.predict_classes(point)[0]}")

    # One file holds all of it: layers, weights, optimizer state, seed.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "moons.safetensors")
        cnet.save(net, path)
        again = cnet.load(path)
    if not np.array_equal(again.predict(x_test), net.predict(x_test)):
        raise SystemExit("the loaded network differs from the saved one")
    print("Saved, loaded: the same predictions, bit for bit.")


if __name__ == "__main__":
    main()

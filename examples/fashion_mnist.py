"""Fashion-MNIST: train on 60,000 images, then see which clothes are taken for which.

Needs the four files of the data set; on Debian and Ubuntu `apt-get install dataset-fashion-mnist`
brings them, elsewhere give the folder that has them: `python examples/fashion_mnist.py FOLDER`. It
takes some seconds.
"""

import sys

import numpy as np

import cnet


def main(folder=None) -> None:
    try:
        (x, y), (x_test, y_test) = cnet.datasets.load_fashion_mnist(folder)
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None

    # The images stay uint8: scale= converts each batch while it is gathered.
    net = cnet.Sequential(
        [cnet.Flatten(), cnet.Dense(128, "relu"), cnet.Dense(10, "softmax")],
        seed=1,
        scale=1 / 255,
    )
    # Large steps first, small ones at the end: compile starts the optimizer afresh and keeps the
    # weights.
    for rate, epochs in ((2e-3, 5), (2e-4, 2)):
        net.compile(
            optimizer=cnet.Adam(learning_rate=rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        # The last tenth of the rows is set aside; the test images are looked at only once, below.
        net.fit(x, y, epochs=epochs, batch_size=128, validation_split=0.1, verbose=2)

    guesses = net.predict_classes(x_test)
    print(f"\n{np.mean(guesses == y_test):.2%} of the {len(y_test):,} test images are recognised")
    print("\nof each class")
    for k, name in enumerate(cnet.datasets.FASHION_MNIST_CLASSES):
        print(f"  {name:<12} {np.mean(guesses[y_test == k] == k):.1%}")

    print("\nmost often confused")
    counts = np.bincount(10 * y_test + guesses, minlength=100).reshape(10, 10)
    np.fill_diagonal(counts, 0)
    names = cnet.datasets.FASHION_MNIST_CLASSES
    for place in np.argsort(-counts, axis=None, kind="stable")[:5]:
        true, guess = divmod(int(place), 10)
        print(f"  {counts[true, guess]:>4} x {names[true]} taken for {names[guess]}")


if __name__ == "__main__":
    main(*sys.argv[1:2])

"""Fashion-MNIST with dense layers only, by all that the box holds: 91 % of the test images.

Batch normalisation, dropout, mirrored and shifted images, AdamW with a warm-up and a cosine, label
smoothing. It needs the files of the data set, as examples/fashion_mnist.py does, and takes some
minutes on two cores: `python examples/fashion_mnist_recipe.py [FOLDER [EPOCHS]]`. What each
technique adds is measured by `python -m benchmarks.ladder fashion`.
"""

import sys
import time

import cnet

BATCH = 128


def hidden(units: int) -> list:
    """Return a hidden layer; the normalisation's beta takes the place of the bias."""
    return [
        cnet.Dense(units, use_bias=False),
        cnet.BatchNormalization(),
        cnet.Activation("relu"),
        cnet.Dropout(0.1),
    ]


def main(folder=None, epochs=50) -> None:
    try:
        (x, y), (x_test, y_test) = cnet.datasets.load_fashion_mnist(folder)
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None

    layers = [cnet.Flatten(), *hidden(512), *hidden(512), cnet.Dense(10, "softmax")]
    net = cnet.Sequential(layers, seed=1, scale=1 / 255)
    steps = int(epochs) * -(-len(x) // BATCH)
    fall = cnet.schedules.Cosine(3e-3, steps - steps // 20)
    net.compile(
        cnet.AdamW(learning_rate=cnet.schedules.WarmUp(steps // 20, fall), weight_decay=0.05),
        cnet.losses.SparseCategoricalCrossentropy(label_smoothing=0.1),
        ["accuracy"],
    )

    # Clothes are seen from both sides, and not always in the middle. All of it happens while a
    # batch is gathered; the data set stays as it is.
    augment = [cnet.augment.RandomFlip(), cnet.augment.RandomCrop(padding=1)]
    began = time.perf_counter()
    net.fit(x, y, epochs=int(epochs), batch_size=BATCH, augment=augment, threads="auto", verbose=2)
    minutes = (time.perf_counter() - began) / 60

    accuracy = net.evaluate(x_test, y_test)["accuracy"]
    print(f"\n{accuracy:.2%} of the {len(y_test):,} test images after {minutes:.1f} minutes")


if __name__ == "__main__":
    main(*sys.argv[1:3])

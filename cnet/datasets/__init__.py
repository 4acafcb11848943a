"""Data to learn from: two sets of images, one file reader and three small synthetic problems.

Every function returns plain NumPy arrays. Images are uint8, as stored, so that a network built
with ``scale=`` converts them while it gathers a batch, without a float copy of the whole set.
Labels are int64 class indices.
"""

from cnet.datasets.digits import load_digits
from cnet.datasets.fashion_mnist import FASHION_MNIST_CLASSES, load_fashion_mnist
from cnet.datasets.idx import load_idx
from cnet.datasets.synthetic import make_moons, make_spirals, make_xor

__all__ = [
    "FASHION_MNIST_CLASSES",
    "load_digits",
    "load_fashion_mnist",
    "load_idx",
    "make_moons",
    "make_spirals",
    "make_xor",
]

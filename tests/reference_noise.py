"""What random layers multiply by or add, from the bits that csrc/noise.h documents, in float64.

Philox is written here a second time, on NumPy's 64-bit integers; its own test vectors are in
test_noise.py.
"""

import numpy as np

from cnet._core import noise

NAMES = ("dropout", "gaussian_dropout", "gaussian_noise")
PURPOSES = {"dropout": 2, "gaussian_dropout": 3, "gaussian_noise": 3}
WORD = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def philox(key: tuple, counter: tuple) -> list[np.ndarray]:
    """Philox 4x32-10 of Salmon et al. (2011): four words for a key of two and a counter of four."""
    k0, k1 = (np.uint64(word) for word in key)
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(word, np.uint64) for word in counter))
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (p1 >> HALF) ^ c1 ^ k0, p1 & WORD
        c2, c3 = (p0 >> HALF) ^ c3 ^ k1, p0 & WORD
        k0 = (k0 + np.uint64(0x9E3779B9)) & WORD
        k1 = (k1 + np.uint64(0xBB67AE85)) & WORD
    return [c0, c1, c2, c3]


def words(name, places, group, seed, step, stream):
    """The four words of the block that each place of a batch belongs to, and r = place % group."""
    r = places % group
    counter = (8 * (places // group) + r % 8, PURPOSES[name] | stream << 8,
               step & 0xFFFFFFFF, step >> 32)  # fmt: skip
    return philox((seed & 0xFFFFFFFF, seed >> 32), counter), r


def keep_of(rate: float) -> int:
    """How many of 65536 decisions keep an element."""
    return max(1, int(np.floor(65536 * (1 - rate) + 0.5)))


def normals(name, places, seed, step, stream):
    """Standard normal numbers by the method of Box and Muller."""
    block, r = words(name, places, 32, seed, step, stream)
    second = r // 8 >= 2
    u = ((np.where(second, block[2], block[0]) >> np.uint64(1)).astype(float) + 0.5) / 2**31
    angle = 2 * np.pi * np.where(second, block[3], block[1]).astype(float) / 2**32
    wave = np.where(r // 8 % 2 == 0, np.cos(angle), np.sin(angle))
    return np.sqrt(-2 * np.log(u)) * wave


def drawn(name, shape, setting, seed=0, step=0, stream=0, first_row=0) -> np.ndarray:
    """The m of a batch: y = x m, or x + m for noise."""
    places = np.arange(shape[0] * shape[1]).reshape(shape) + first_row * shape[1]
    if name == "dropout":
        block, r = words(name, places, 64, seed, step, stream)
        word = np.choose(r // 8 % 4, block)
        bits = np.where(r < 32, word & np.uint64(0xFFFF), word >> np.uint64(16))
        return np.where(bits < keep_of(setting), 65536 / keep_of(setting), 0.0)
    z = normals(name, places, seed, step, stream)
    return setting * z if name == "gaussian_noise" else 1 + np.sqrt(setting / (1 - setting)) * z


def kernel(name, shape, setting, dtype="float64", back=False, **numbers):
    """What the compiled layer multiplies by, or adds."""
    x = np.zeros(shape, dtype) if name == "gaussian_noise" else np.ones(shape, dtype)
    y = np.empty(shape, dtype)
    (noise.backward if back else noise.forward)(name, x, y, setting, **numbers)
    return y

"""What csrc/augment.h does to rows, from the bits that it documents, in float64, pixel by pixel.

Warps are done by the definition: an image that goes on for ever on the grid of whole pixels, and
bilinear interpolation between its four nearest ones.
"""

import numpy as np
from reference_noise import philox

PURPOSE = 5


class Draws:
    """The random words of one augmentation for one row."""

    def __init__(self, place, groups=1, *, seed=0, step=0, stream=0):
        self.first, self.key = 8 * place * groups, (seed & 0xFFFFFFFF, seed >> 32)
        self.rest = PURPOSE | stream << 8, step & 0xFFFFFFFF, step >> 32

    def group(self, number):
        """The 32 words of a group of eight blocks: word d is word d / 8 of block d % 8."""
        blocks = self.first + 8 * number + np.arange(8)
        return np.concatenate(philox(self.key, (blocks, *self.rest)))

    def word(self, number):
        return int(self.group(0)[number])

    def uniform(self, number):
        return (self.word(number) + 0.5) / 2**32

    def around(self, number):
        return 2 * self.uniform(number) - 1

    def pick(self, number, n):
        return self.word(number) * n >> 32

    def happens(self, probability, number=0):
        return self.word(number) < probability * 2**32

    def other(self, number, place, rows):
        return (place + 1 + self.pick(number, rows - 1)) % rows


def pixel(image, r, c, fill):
    """Pixel (r, c) of the image that goes on for ever; whole numbers."""
    height, width = image.shape[:2]
    if not isinstance(fill, str):
        inside = 0 <= r < height and 0 <= c < width
        return image[r, c] if inside else np.full(image.shape[2], float(fill))
    mode = {"edge": "edge", "reflect": "reflect"}[fill]
    place = [0, 0]
    for axis, (x, n) in enumerate(((r, height), (c, width))):
        if mode == "edge" or n == 1:
            place[axis] = min(max(x, 0), n - 1)
        else:  # 0 1 2 1 0 1 2 ...
            x %= 2 * (n - 1)
            place[axis] = x if x < n else 2 * (n - 1) - x
    return image[tuple(place)]


def warp(image, matrix, fill=0.0, field=None):
    """Look an image (H, W, C) up at matrix (r, c, 1), with (r, c) moved by the field (2, H, W)."""
    result = np.empty(image.shape)
    for r, c in np.ndindex(image.shape[:2]):
        moved = np.array([r, c, 1.0])
        if field is not None:
            moved[:2] += field[:, r, c]
        y, x = (matrix @ moved)[:2]
        i, j = int(np.floor(y)), int(np.floor(x))
        fy, fx = y - i, x - j
        result[r, c] = (
            (1 - fy) * (1 - fx) * pixel(image, i, j, fill)
            + (1 - fy) * fx * pixel(image, i, j + 1, fill)
            + fy * (1 - fx) * pixel(image, i + 1, j, fill)
            + fy * fx * pixel(image, i + 1, j + 1, fill)
        )
    return result


def about(height, width):
    """The shift that brings the middle of an image to the origin."""
    return np.array([[1, 0, -(height - 1) / 2], [0, 1, -(width - 1) / 2], [0, 0, 1]])


def affine(draws, height, width, rotation, down, right, zoom, shear):
    """The inverse of: zoom, shear along the lines, turn against the clock, shift."""
    angle, slant = rotation * draws.around(1), np.tan(shear * draws.around(5))
    factor = 1 + zoom * draws.around(4)
    grow = np.diag([factor, factor, 1.0])
    lean = np.array([[1, 0, 0], [slant, 1, 0], [0, 0, 1.0]])  # c + slant r
    # Rows count downwards: what is on the right, (0, 1), comes to (-sin, cos).
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0],
                     [0, 0, 1]])  # fmt: skip
    shift = np.array([[1, 0, down * draws.around(2)], [0, 1, right * draws.around(3)], [0, 0, 1]])
    middle = about(height, width)
    return np.linalg.inv(shift @ np.linalg.inv(middle) @ turn @ lean @ grow @ middle)


def flip(draws, height, width, horizontal, vertical, probability):
    matrix = np.eye(3)
    if horizontal and draws.happens(probability, 0):
        matrix = matrix @ np.array([[1, 0, 0], [0, -1, width - 1], [0, 0, 1]])
    if vertical and draws.happens(probability, 1):
        matrix = matrix @ np.array([[-1, 0, height - 1], [0, 1, 0], [0, 0, 1]])
    return matrix


def crop(draws, padding):
    shift = [draws.pick(k, 2 * padding + 1) - padding for k in (1, 2)]
    return np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])


def field_groups(height, width):
    """Groups of eight blocks that one field takes: lines are of a multiple of 16 pixels."""
    return -(-height * (-(-width // 16) * 16) // 64)


def field(draws, height, width, alpha, sigma):
    """Two fields of noise, blurred by sums over the Gaussian's weights, times alpha."""
    wide, groups = -(-width // 16) * 16, field_groups(height, width)
    radius = max(1, int(4 * sigma + 0.5))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    fields = []
    for number in range(2):
        words = [draws.group(1 + number * groups + g) for g in range(groups)]
        halves = [np.concatenate([w & np.uint64(0xFFFF), w >> np.uint64(16)]) for w in words]
        noise = (np.concatenate(halves).astype(float) + 0.5) / 2**15 - 1
        noise = noise[: height * wide].reshape(height, wide)[:, :width]
        wall = np.pad(noise, radius)
        lines = sum(w * wall[k : k + height] for k, w in enumerate(weights))
        fields.append(alpha * sum(w * lines[:, k : k + width] for k, w in enumerate(weights)))
    return np.array(fields)


def symmetric_beta(alpha, u, v):
    """Bailey's Student t with 2 alpha degrees of freedom, turned into a beta variate."""
    t = np.sqrt(2 * alpha * (u ** (-1 / alpha) - 1)) * np.cos(2 * np.pi * v)
    return 0.5 * (1 + t / np.sqrt(2 * alpha + t**2))


def box(draws, height, width, share):
    """The rectangle of CutMix, as slices."""
    side = np.sqrt(1 - share)
    slices = []
    for number, size in ((4, height), (5, width)):
        length = int(size * side)
        first = draws.pick(number, size) - length // 2
        slices.append(slice(max(first, 0), min(first + length, size)))
    return tuple(slices)


def rectangle(draws, height, width, area, aspect):
    """The rectangle of random erasing, as slices."""
    share = area[0] + (area[1] - area[0]) * draws.uniform(1)
    ratio = np.exp(np.log(aspect[0]) + np.log(aspect[1] / aspect[0]) * draws.uniform(2))
    size = share * height * width
    h = min(int(np.floor(np.sqrt(size * ratio) + 0.5)), height)
    w = min(int(np.floor(np.sqrt(size / ratio) + 0.5)), width)
    top, left = draws.pick(3, height - h + 1), draws.pick(4, width - w + 1)
    return slice(top, top + h), slice(left, left + w)


def normals(draws, n):
    """Standard normal numbers as csrc/noise.h makes them, from group 1 on."""
    found = []
    for g in range(-(-n // 32)):
        w = draws.group(1 + g)
        for pair in (0, 16):
            u = ((w[pair : pair + 8] >> np.uint64(1)).astype(float) + 0.5) / 2**31
            angle = 2 * np.pi * w[pair + 8 : pair + 16].astype(float) / 2**32
            radius = np.sqrt(-2 * np.log(u))
            found += [radius * np.cos(angle), radius * np.sin(angle)]
    return np.concatenate(found)[:n]


# Every kind of csrc/augment.h, and what of the above says what it does.
AUGMENTATIONS = {
    "flip": flip,
    "affine": affine,
    "crop": crop,
    "elastic": field,
    "erasing": rectangle,
    "brightness": Draws.around,
    "contrast": Draws.around,
    "noise": normals,
    "swap": Draws.other,
    "mixup": symmetric_beta,
    "cutmix": box,
}

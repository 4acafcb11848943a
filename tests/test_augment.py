"""Augmentations do what their references say, to the row and the seed."""

import numpy as np
import pytest
import reference_augment as ref
from networks import refused

import cnet
from cnet import augment
from cnet._core import kernels

NUMBERS = {"seed": 2**40 + 5, "step": 2**33 + 7}


def images(n=6, shape=(9, 14), seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(dtype)


def seen(x, *augmentations, dtype="float64", **numbers):
    return augment.preview(x, augmentations, dtype=dtype, **NUMBERS | numbers)


def draws(place, groups=1, stream=0):
    return ref.Draws(place, groups, stream=stream, **NUMBERS)


# ---- warps ---------------------------------------------------------------------------------------

FILLS = [0.0, -1.5, "edge", "reflect"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("shape", [(9, 14), (7, 5, 3), (1, 8), (8, 1, 2), (3, 70)])
def test_affine(shape, fill, dtype):
    x = images(4, shape)
    settings = {"rotation": 170, "translation": (0.4, 3), "zoom": 0.6, "shear": 50}
    found = seen(x, augment.RandomAffine(**settings, fill=fill), dtype=dtype)
    assert found.dtype == dtype and found.shape == x.shape
    height, width = shape[:2]
    for place, image in enumerate(x):
        matrix = ref.affine(draws(place), height, width, np.radians(170), 0.4 * height, 3, 0.6,
                            np.radians(50))  # fmt: skip
        expected = ref.warp(image.reshape(height, width, -1), matrix, fill).reshape(shape)
        # Coordinates of up to 200 pixels in float32 are 1e-5 pixels off, and values with them.
        tolerance = 1e-12 if dtype == "float64" else 1e-4
        np.testing.assert_allclose(found[place], expected, rtol=0, atol=tolerance)
    assert not np.array_equal(found[0], x[0])


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
def test_flips_are_exact(horizontal, vertical):
    x = images(40, (5, 6, 2))
    if not (horizontal or vertical):
        with pytest.raises(ValueError, match="flips nothing"):
            augment.RandomFlip(horizontal=False)
        return
    found = seen(x, augment.RandomFlip(horizontal, vertical))
    kinds = set()
    for place, image in enumerate(x):
        turned = draws(place).happens(0.5, 0) * horizontal, draws(place).happens(0.5, 1) * vertical
        expected = image[:: -1 if turned[1] else 1, :: -1 if turned[0] else 1]
        assert np.array_equal(found[place], expected)
        kinds.add(turned)
    assert len(kinds) == 2 ** (horizontal + vertical)
    always = seen(x, augment.RandomFlip(horizontal, vertical, probability=1.0))
    assert np.array_equal(always, x[:, :: -1 if vertical else 1, :: -1 if horizontal else 1])


@pytest.mark.parametrize("fill", FILLS)
def test_crops_are_exact_shifts(fill):
    x = images(30, (6, 5))
    found = seen(x, augment.RandomCrop(4, fill=fill))
    mode = {"mode": fill} if isinstance(fill, str) else {"constant_values": fill}
    for place, image in enumerate(x):
        down, right = ref.crop(draws(place), 4)[:2, 2].astype(int)
        padded = np.pad(image, 4, **mode)
        assert np.array_equal(found[place], padded[4 + down : 10 + down, 4 + right : 9 + right])


def test_translation_in_pixels_and_fractions():
    x = images(3, (10, 20))
    fraction = seen(x, augment.RandomAffine(translation=0.25))
    assert np.array_equal(fraction, seen(x, augment.RandomAffine(translation=(0.25, 5))))
    assert not np.array_equal(fraction, seen(x, augment.RandomAffine(translation=(0.25, 4))))


def test_positive_angles_turn_against_the_clock():
    image = np.zeros((1, 9, 9))
    image[0, 4, 8] = 1  # on the right
    for seed in range(20):
        angle = ref.Draws(0, seed=seed).around(1)
        if 0.4 < angle < 0.6:
            turned = augment.preview(image, [augment.RandomAffine(rotation=180)], seed=seed)[0]
            assert turned[:3].sum() > 0.5  # on top
            return
    raise AssertionError("none of the seeds draws an angle of about 90 degrees")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(9, 14), (20, 17, 3), (1, 5), (33, 1)])
def test_elastic(shape, dtype):
    x = images(3, shape)
    height, width = shape[:2]
    groups = 1 + 2 * ref.field_groups(height, width)
    for sigma, fill in ((1.3, 0.0), (0.1, "edge"), (30.0, "reflect")):
        found = seen(x, augment.Elastic(6.0, sigma, fill=fill), dtype=dtype)
        for place, image in enumerate(x):
            field = ref.field(draws(place, groups), height, width, 6.0, sigma)
            expected = ref.warp(image.reshape(height, width, -1), np.eye(3), fill, field)
            tolerance = 1e-12 if dtype == "float64" else 5e-5
            np.testing.assert_allclose(
                found[place], expected.reshape(shape), rtol=0, atol=tolerance
            )


def test_neighbouring_movements_are_one_warp():
    x = images(4, (11, 8))
    given = [
        augment.RandomFlip(vertical=True),
        augment.Elastic(4.0, 2.0),
        augment.RandomAffine(20, 2),
        augment.RandomCrop(1),
    ]
    found = seen(x, *given)
    groups = 1 + 2 * ref.field_groups(11, 8)
    for place, image in enumerate(x):
        matrix = ref.flip(draws(place), 11, 8, True, True, 0.5)
        matrix = matrix @ ref.affine(draws(place, 1, 2), 11, 8, np.radians(20), 2, 2, 0, 0)
        matrix = matrix @ ref.crop(draws(place, 1, 3), 1)
        field = ref.field(draws(place, groups, 1), 11, 8, 4.0, 2.0)
        expected = ref.warp(image[:, :, None], matrix, 0.0, field)[:, :, 0]
        np.testing.assert_allclose(found[place], expected, rtol=0, atol=1e-12)


def test_another_border_begins_another_warp():
    x = images(4, (6, 6))
    found = seen(x, augment.RandomCrop(2, fill=5.0), augment.RandomFlip(), augment.RandomCrop(3))
    for place, image in enumerate(x):
        matrix = ref.crop(draws(place), 2) @ ref.flip(draws(place, 1, 1), 6, 6, True, False, 0.5)
        first = ref.warp(image[:, :, None], matrix, 5.0)
        expected = ref.warp(first, ref.crop(draws(place, 1, 2), 3), 0.0)[:, :, 0]
        assert np.array_equal(found[place], expected)


IDLE = [
    augment.RandomAffine(),
    augment.RandomAffine(rotation=20, probability=0.0),
    augment.RandomFlip(probability=0.0),
    augment.RandomCrop(0),
    augment.RandomCrop(3, probability=0.0),
    augment.Elastic(3.0, 2.0, probability=0.0),
    augment.RandomErasing(probability=0.0),
    augment.Brightness(0.0),
    augment.Noise(0.0),
    augment.SwapFeatures(0.0),
    augment.Mixup(probability=0.0),
    augment.CutMix(probability=0.0),
]


@pytest.mark.parametrize("idle", IDLE, ids=lambda a: f"{type(a).__name__}-{a.probability:g}")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_does_nothing_leaves_every_bit(idle, dtype):
    x = images(dtype=dtype)
    x[0, 0, :2] = 0.0, 1e-30
    assert seen(x, idle, dtype=dtype).tobytes() == x.tobytes()


# ---- values --------------------------------------------------------------------------------------


def test_erasing():
    x = images(50, (8, 10, 2))
    found = seen(x, augment.RandomErasing((0.1, 0.9), (0.2, 5.0), fill=7.0, probability=0.8))
    for place, image in enumerate(x):
        expected = image.copy()
        if draws(place).happens(0.8):
            expected[ref.rectangle(draws(place), 8, 10, (0.1, 0.9), (0.2, 5.0))] = 7.0
        assert np.array_equal(found[place], expected)
    cutout = seen(x, augment.RandomErasing((0.2, 0.2), (1, 1), fill=7.0, probability=1.0))
    assert np.array_equal((cutout == 7.0).sum(axis=(1, 2, 3)), np.full(50, 2 * 4 * 4))


def test_brightness_and_contrast():
    x = images(5, (4, 5))
    bright, bold = seen(x, augment.Brightness(0.3)), seen(x, augment.Contrast(0.8))
    for place, image in enumerate(x):
        np.testing.assert_allclose(bright[place], image + 0.3 * draws(place).around(1), rtol=1e-14)
        factor = 1 + 0.8 * draws(place).around(1)
        expected = image.mean() + factor * (image - image.mean())
        np.testing.assert_allclose(bold[place], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("columns", [1, 31, 32, 100])
def test_noise(columns):
    x = images(4, (columns,))
    found = seen(x, augment.Noise(0.7))
    for place, row in enumerate(x):
        z = ref.normals(draws(place, 1 + -(-columns // 32)), columns)
        np.testing.assert_allclose(found[place], row + 0.7 * z, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "uint8", "int32", "float16"])
def test_swapped_features(dtype):
    x = np.arange(7 * 20).reshape(7, 20).astype(dtype)
    found = seen(x, augment.SwapFeatures(0.4), scale=0.5)
    swapped = 0
    for place, row in enumerate(x):
        for column in range(20):
            words = draws(place, 1 + 2).group(1 + column // 16)
            own, w = row, int(words[16 + column % 16])
            if int(words[column % 16]) < int(0.4 * 2**32):
                own, swapped = x[(place + 1 + (w * 6 >> 32)) % 7], swapped + 1
            assert found[place, column] == 0.5 * float(own[column])
    assert 30 < swapped < 80


# ---- mixtures ------------------------------------------------------------------------------------


def test_mixup():
    x, y = images(9, (12,)), np.eye(3)[np.arange(9) % 3]
    found, mixed = seen(x, augment.Mixup(0.7, probability=0.8), y=y)
    for place in range(9):
        d = draws(place)
        share = ref.symmetric_beta(0.7, d.uniform(1), d.uniform(2)) if d.happens(0.8) else 1.0
        other = d.other(3, place, 9)
        expected = share * x[place] + (1 - share) * x[other]
        np.testing.assert_allclose(found[place], expected, rtol=0, atol=1e-13)
        expected = share * y[place] + (1 - share) * y[other]
        np.testing.assert_allclose(mixed[place], expected, rtol=0, atol=1e-14)


def test_cutmix():
    x, y = images(40, (7, 9, 2)), np.random.default_rng(1).normal(size=(40, 150))
    found, mixed = seen(x, augment.CutMix(), y=y)
    for place in range(40):
        d = draws(place)
        cut = ref.box(d, 7, 9, ref.symmetric_beta(1.0, d.uniform(1), d.uniform(2)))
        other, expected = d.other(3, place, 40), x[place].copy()
        expected[cut] = x[other][cut]
        assert np.array_equal(found[place], expected)
        share = 1 - x[place, :, :, 0][cut].size / 63
        expected = share * y[place] + (1 - share) * y[other]
        np.testing.assert_allclose(mixed[place], expected, rtol=0, atol=1e-13)


def test_mixtures_take_the_other_row_as_it_is_in_the_batch():
    x = images(8, (6, 6))
    before, after = augment.RandomCrop(2), augment.Brightness(1.0)
    alone = seen(x, before)
    found = seen(x, before, augment.Mixup(1.0), after)
    for place in range(8):
        d, more = draws(place, 1, 1), draws(place, 1, 2).around(1)
        share = ref.symmetric_beta(1.0, d.uniform(1), d.uniform(2))
        expected = share * alone[place] + (1 - share) * alone[d.other(3, place, 8)] + more
        np.testing.assert_allclose(found[place], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("mixture", [augment.Mixup(), augment.CutMix(), augment.SwapFeatures(1.0)])
def test_a_row_alone_is_mixed_with_nothing(mixture):
    x, y = images(1), np.ones((1, 2))
    found, mixed = seen(x, mixture, y=y)
    assert np.array_equal(found, x) and np.array_equal(mixed, y)


# ---- data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64"])
def test_every_kind_of_number_is_read_as_it_is(dtype):
    x = np.random.default_rng(2).integers(0, 100, (5, 6, 7)).astype(dtype)
    some = augment.RandomAffine(20, 2), augment.Noise(0.1)
    expected = augment.preview(x.astype("float64") * 0.25, some, dtype="float64")
    assert np.array_equal(augment.preview(x, some, scale=0.25, dtype="float64"), expected)
    wide = np.zeros((5, 6, 14), dtype)
    wide[:, :, ::2] = x  # strided rows
    assert np.array_equal(
        augment.preview(wide[:, :, ::2], some, scale=0.25, dtype="float64"), expected
    )


def test_rows_without_images():
    x = images(4, (10,))
    assert not np.array_equal(seen(x, augment.Noise(1.0), augment.Mixup()), x)
    with refused(cnet.ShapeError, r"augment\[1\]", "RandomFlip", r"\(10,\)", "Flatten"):
        seen(x, augment.Noise(1.0), augment.RandomFlip())


@pytest.mark.parametrize("name", kernels.AUGMENTATIONS)
def test_every_row_of_the_list_is_public(name):
    classes = [getattr(augment, n) for n in augment.__all__ if n not in ("Augmentation", "preview")]
    assert sorted(cls.kind for cls in classes) == sorted(kernels.AUGMENTATIONS)
    (cls,) = [cls for cls in classes if cls.kind == name]
    assert issubclass(cls, augment.Augmentation) and "probability" in cls.fields

"""The alterations: what each does, that it is the same for everybody, that levels grow."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from evaluation import picture, psnr

from weights_tools.evaluate import alterations as alt
from weights_tools.evaluate.alterations import BY_NAME, TABLE, alter, cells

KEYS = [f"set/{i}.png" for i in range(6)]
ON_PICTURES = [row.name for row in TABLE if row.on_pictures]


def test_the_table_has_twenty_rows_and_eighteen_for_pictures():
    assert len(TABLE) == 20 and len(ON_PICTURES) == 18
    assert [row.name for row in TABLE if not row.on_pictures] == ["h264", "fps"]
    assert all(len(row.values) == 5 for row in TABLE)
    # #9 is two cells, the others five.
    assert len(cells()) == 17 * 5 + 2
    assert [level for name, level in cells() if name == "flip"] == [1, 5]
    assert cells(["jpeg", "flip"], [3, 5]) == [("jpeg", 3), ("jpeg", 5), ("flip", 5)]


@pytest.mark.parametrize("cell", cells(), ids=lambda cell: f"{cell[0]}:{cell[1]}")
def test_same_pixels_for_everybody(cell):
    pixels = picture()
    before = pixels.copy()
    first = alter(pixels, *cell, "a.png")
    np.random.seed(7)
    assert np.array_equal(alter(pixels, *cell, "a.png"), first)
    assert np.array_equal(pixels, before), "the picture itself was changed"
    assert first.dtype == np.uint8 and first.shape[0] == pixels.shape[0]
    assert cell[0] == "aspect" or first.shape == pixels.shape
    assert not np.array_equal(first, pixels)
    # Rows that are not packed are pictures, too.
    wide = np.zeros((96, 100, 3), np.uint8)
    wide[:, :80] = pixels
    assert np.array_equal(alter(wide[:, :80], *cell, "a.png"), first)


def test_the_seed_is_a_promise():
    # A change here makes every published number incomparable.
    assert alt.seed_of("set/07.jpg", "jpeg", 3) == 0x48CEEFD3
    assert alt.seed_of("set/07.jpg", "jpeg", 4) != alt.seed_of("set/07.jpg", "jpeg", 3)
    draws = alt.random_for("set/07.jpg", "salt_pepper", 1).random_sample(2)
    assert draws == pytest.approx([0.04800440780359594, 0.7004120616002678], abs=1e-15)


@pytest.mark.parametrize(
    "name",
    ["motion_blur", "gaussian_noise", "salt_pepper", "overlay_image", "overlay_text"]
    + ["overlay_shapes", "overlay_dots"],
)
def test_every_key_and_level_draws_anew(name):
    pixels = picture()
    made = {alter(pixels, name, 5, key).tobytes() for key in KEYS}
    assert len(made) == len(KEYS)


@pytest.mark.parametrize("name", ["rotation", "brightness"])
def test_both_signs_occur(name):
    pixels = picture()
    assert len({alter(pixels, name, 3, f"{i}").tobytes() for i in range(16)}) == 2


def far_from(name: str) -> list[float]:
    """PSNR against the original, mean over keys, of each level."""
    pixels = picture(3, 128, 128)
    return [
        float(np.mean([psnr(alter(pixels, name, level, key), pixels) for key in KEYS]))
        for level in BY_NAME[name].levels()
    ]


@pytest.mark.parametrize("name", [n for n in ON_PICTURES if n not in ("aspect", "flip")])
def test_a_higher_level_is_farther_from_the_original(name):
    values = far_from(name)
    assert all(b < a for a, b in itertools.pairwise(values)), values


# ---- each by its own definition ----


def test_gaussian_blur_has_its_sigma():
    dot = np.zeros((81, 81, 3), np.uint8)
    dot[30:51, 30:51] = 255
    for level, sigma in zip(alt.LEVELS, BY_NAME["gaussian_blur"].values, strict=True):
        out = alter(dot, "gaussian_blur", level, "")[40, :, 0].astype(float)
        step = np.abs(np.diff(out[:40]))  # the edge's derivative is the kernel
        at = np.arange(len(step))
        mean = (at * step).sum() / step.sum()
        measured = np.sqrt((step * (at - mean) ** 2).sum() / step.sum())
        assert measured == pytest.approx(sigma, rel=0.12)


def test_box_blur_is_a_mean():
    pixels = picture()
    out = alter(pixels, "box_blur", 2, "")
    assert np.abs(out[40, 40] - pixels[38:43, 38:43].mean(axis=(0, 1))).max() <= 0.51


@pytest.mark.parametrize("length", BY_NAME["motion_blur"].values)
def test_motion_blur_is_a_line_of_its_length(length):
    for angle in np.linspace(0, np.pi, 9):
        kernel = alt.line_kernel(length, angle)
        assert kernel.sum() == pytest.approx(1, abs=1e-6) and len(kernel) % 2 == 1
        y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
        along = x * np.cos(angle) + y * np.sin(angle)
        across = x * np.sin(angle) - y * np.cos(angle)
        assert abs((kernel * along).sum()) < 1e-5
        # Variance of a uniform line, and of the sharing between neighbours.
        assert (kernel * along**2).sum() == pytest.approx((length - 1) ** 2 / 12, rel=0.05, abs=0.3)
        assert (kernel * across**2).sum() < 0.26
    # What a picture gets is such a kernel.
    dot = np.zeros((61, 61, 3), np.uint8)
    dot[30, 30] = 255
    angle = alt.random_for("k", "motion_blur", 3).uniform(0, np.pi)
    out = alter(dot, "motion_blur", 3, "k")[..., 0]
    expected = 255 * alt.line_kernel(13, angle)[::-1, ::-1]
    assert np.abs(out[30 - 7 : 30 + 8, 30 - 7 : 30 + 8] - expected).max() <= 0.51


def test_resolution_leaves_no_detail_below_its_factor():
    pixels = picture(1, 96, 96)
    out = alter(pixels, "resolution", 2, "")
    small = cv2.resize(pixels, (48, 48), interpolation=cv2.INTER_AREA)
    assert np.array_equal(out, cv2.resize(small, (96, 96), interpolation=cv2.INTER_LINEAR))


def test_jpeg_quality_decides_the_size():
    pixels = picture(1, 128, 128)
    sizes = [len(alt.encode(pixels, q)) for q in BY_NAME["jpeg"].values]
    assert sizes == sorted(sizes, reverse=True)
    assert np.array_equal(alt.decode(alt.encode(pixels, 25)), alter(pixels, "jpeg", 4, ""))
    assert psnr(alt.decode(alt.encode(pixels, 95)), pixels) > 30


def test_rotation_turns_by_its_angle():
    pixels = np.zeros((101, 101, 3), np.uint8)
    pixels[49:52, 50:90] = 255
    for level, degrees in zip(alt.LEVELS, BY_NAME["rotation"].values, strict=True):
        y, x = np.nonzero(alter(pixels, "rotation", level, "k")[..., 0] > 127)
        slope = np.degrees(np.arctan2(np.mean(y) - 50, np.mean(x) - 50))
        assert abs(slope) == pytest.approx(degrees, abs=0.5)
    assert (alter(np.full((64, 64, 3), 200, np.uint8), "rotation", 5, "k")[0, 0] == 0).all()


def test_flip():
    pixels = picture()
    assert np.array_equal(alter(pixels, "flip", 1, ""), pixels[:, ::-1])
    assert np.array_equal(alter(pixels, "flip", 5, ""), pixels[::-1])
    with pytest.raises(ValueError, match="flip has no level 3"):
        alter(pixels, "flip", 3, "")


def test_colours():
    grey = np.full((8, 8, 3), 100, np.uint8)
    for level, add in zip(alt.LEVELS, BY_NAME["brightness"].values, strict=True):
        changed = abs(int(alter(grey, "brightness", level, "k")[0, 0, 0]) - 100)
        assert changed == pytest.approx(255 * add, abs=0.51)
    assert alter(grey, "contrast", 5, "")[0, 0, 0] == round(128 - 28 * 0.35)
    assert np.array_equal(alter(grey, "saturation", 3, ""), grey)
    gone = alter(picture(), "saturation", 5, "")
    assert (gone == gone[..., :1]).all()
    red = np.array([[[200, 40, 40]]], np.uint8)
    luma = 0.299 * 200 + 0.701 * 40
    half = alter(red, "saturation", 3, "")[0, 0]
    assert half == pytest.approx([luma * 0.6 + 80, luma * 0.6 + 16, luma * 0.6 + 16], abs=0.51)


def test_noise_has_its_deviation_and_share():
    grey = np.full((200, 200, 3), 128, np.uint8)
    for level, deviation in zip((1, 2, 3), BY_NAME["gaussian_noise"].values, strict=False):
        noise = alter(grey, "gaussian_noise", level, "k").astype(float) - 128
        assert noise.std() == pytest.approx(255 * deviation, rel=0.02)
        assert abs(noise.mean()) < 0.2
    for level, share in zip(alt.LEVELS, BY_NAME["salt_pepper"].values, strict=True):
        out = alter(grey, "salt_pepper", level, "k")
        salt, pepper = (out == 255).all(axis=2).mean(), (out == 0).all(axis=2).mean()
        assert salt + pepper == pytest.approx(share, rel=0.25)
        assert salt == pytest.approx(pepper, rel=0.4)


def changed_share(name: str, level: int, key: str, pixels: np.ndarray) -> float:
    return float((alter(pixels, name, level, key) != pixels).any(axis=2).mean())


def test_overlays_cover_what_they_say():
    pixels = np.full((400, 300, 3), 117, np.uint8)
    for level, area in zip(alt.LEVELS, BY_NAME["overlay_image"].values, strict=True):
        for key in KEYS:
            # A colour of the patch may be the picture's own.
            assert changed_share("overlay_image", level, key, pixels) == pytest.approx(
                area, rel=0.06
            )
    # Cut off at the edges, one over the other: no more than all shapes at their full size.
    for level, (count, size) in zip(alt.LEVELS, BY_NAME["overlay_shapes"].values, strict=True):
        most = count * (300 * size + 4) ** 2 / (400 * 300)
        shares = [changed_share("overlay_shapes", level, key, pixels) for key in KEYS]
        assert max(shares) <= most and np.mean(shares) > most / 4
    for level, count in zip(alt.LEVELS, BY_NAME["overlay_dots"].values, strict=True):
        out = (alter(pixels, "overlay_dots", level, "k") != pixels).any(axis=2)
        islands = cv2.connectedComponents(out.astype(np.uint8))[0] - 1
        assert 0.75 * count <= islands <= count


def test_text_has_its_height():
    pixels = np.full((400, 600, 3), 117, np.uint8)
    for level, share in zip(alt.LEVELS, BY_NAME["overlay_text"].values, strict=True):
        rows = [
            (alter(pixels, "overlay_text", level, key) != pixels).any(axis=(1, 2)).sum()
            for key in KEYS
        ]
        # Two lines, which may overlap; letters with descenders are a third higher.
        assert 0.8 * share * 400 <= min(rows) and max(rows) <= 2.9 * share * 400 + 6


def test_crop_pad_and_aspect():
    pixels = np.full((100, 80, 3), 9, np.uint8)
    for level, keep in zip(alt.LEVELS, BY_NAME["crop_pad"].values, strict=True):
        out = alter(pixels, "crop_pad", level, "")
        assert (out == 9).all(axis=2).sum() == round(100 * keep) * round(80 * keep)
        assert out[50, 40, 0] == 9 and out[0, 0, 0] == 0
    for level, stretch in zip(alt.LEVELS, BY_NAME["aspect"].values, strict=True):
        assert alter(pixels, "aspect", level, "").shape == (100, round(80 * stretch), 3)


@pytest.mark.parametrize("cell", cells(), ids=lambda cell: f"{cell[0]}:{cell[1]}")
def test_tiny_pictures_survive(cell):
    for shape in ((1, 1, 3), (2, 7, 3)):
        assert alter(np.full(shape, 50, np.uint8), *cell, "k").shape[0] == shape[0]


# ---- what is asked for ----


def test_own_parameters():
    pixels = picture()
    own = alter(pixels, "gaussian_blur=2.2", 0, "k")
    assert np.array_equal(own, alter(pixels, "gaussian_blur", 3, "k"))
    assert cells(["jpeg=30", "flip"], [1]) == [("flip", 1), ("jpeg=30", 0)]
    for name, says in {
        "jpeg=101": "10 to 80",
        "jpeg=x": "not a number",
        "jpeg=nan": "not a number",
        "overlay_shapes=3": "levels only",
        "flip=1": "levels only",
        "fps=3": "clips",
    }.items():
        with pytest.raises(ValueError, match=says):
            cells([name])


@pytest.mark.parametrize(
    ("name", "level", "says"),
    [
        ("h264", 1, "clips, not pictures"),
        ("fps", 5, "clips, not pictures"),
        ("frobnicate", 1, "no alteration 'frobnicate'"),
        ("jpeg", 6, "no level 6"),
        ("jpeg", 0, "a parameter in the name"),
        ("jpeg=30", 2, "a parameter in the name"),
    ],
)
def test_what_there_is_not(name, level, says):
    with pytest.raises(ValueError, match=says):
        alter(picture(), name, level, "")


def test_only_pictures():
    for wrong in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))):
        with pytest.raises(ValueError, match="uint8"):
            alter(wrong, "jpeg", 1, "")


def test_the_mix_alters_79_percent_with_everything():
    drawn = [alt.mix_cell(f"{i}.jpg") for i in range(6000)]
    altered = [cell for cell in drawn if cell]
    assert len(altered) / len(drawn) == pytest.approx(0.79, abs=0.016)
    counts = {name: sum(cell[0] == name for cell in altered) for name in ON_PICTURES}
    assert set(altered) == set(cells())
    expected = len(altered) / len(ON_PICTURES)
    assert all(0.75 * expected < n < 1.25 * expected for n in counts.values()), counts

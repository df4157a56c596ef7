"""Masks, blends, swaps, histories and splits, on drawn faces."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV is not installed")

import train_cache

from weights_tools.train import augment, forge, masks


@pytest.fixture
def drawn():
    return train_cache.face(np.random.default_rng(5), 160)


def turned(points, degrees):
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = points.mean(0)
    return (points - middle) @ rotation.T + middle


@pytest.mark.parametrize("region", masks.REGIONS)
def test_masks_cover_their_part_and_stay_inside(drawn, region):
    picture, _, marks = drawn
    rng = np.random.default_rng(1)
    corners = masks.polygons(marks, region, ("mouth",), rng)
    mask = masks.draw(picture.shape[:2], corners, 3.0, rng)
    assert mask.dtype == np.float32
    assert 0.9 < mask.max() <= 1 and mask.min() == 0
    assert 0.004 < mask.mean() < 0.6
    assert not mask[0].any() and not mask[:, -1].any()

    def at(point):
        return mask[int(point[1]), int(point[0])]

    mouth = (marks[3] + marks[4]) / 2
    inside = {"upper": marks[0], "T": marks[2], "left": marks[0], "right": marks[1]}
    assert at(inside.get(region, mouth)) > 0.5
    if region in ("parts", "lower"):
        assert at(marks[0]) < 0.5
    if region == "left":
        assert at(marks[0]) > at(marks[1])


def test_a_mask_ends_before_the_pictures_edge(drawn):
    _, _, marks = drawn
    rng = np.random.default_rng(7)
    for shift in ((-70, 0), (70, 0), (0, -80), (0, 60)):
        mask = masks.draw((160, 160), masks.polygons(marks + shift, "face", (), rng), 3.0, rng)
        assert mask.max() > 0.5
        edges = (mask[:2], mask[-2:], mask[:, :2], mask[:, -2:])
        assert not any(edge.any() for edge in edges), shift


def test_a_mask_turns_with_the_head(drawn):
    _, _, marks = drawn
    centres = []
    for points in (marks, turned(marks, 90)):
        corners = masks.polygons(points, "parts", ("mouth",), np.random.default_rng(2))
        centres.append(corners[0].mean(0) - points.mean(0))
    expected = turned(np.stack([centres[0], -centres[0]]), 90)[0]
    assert np.allclose(centres[1], expected, atol=1.5)


def test_usable_refuses_profiles_and_specks(drawn):
    _, _, marks = drawn
    assert masks.usable(marks)
    assert masks.usable(turned(marks, 70))
    assert not masks.usable(marks / 20)
    assert not masks.usable(marks * [0.2, 1])


def test_blending_is_linear():
    source, target = np.full((4, 4, 3), 200, np.uint8), np.full((4, 4, 3), 100, np.uint8)
    mask = np.zeros((4, 4), np.float32)
    mask[1], mask[2] = 1, 0.5
    rows = forge.blend(source, target, mask)[:, 0, 0]
    assert rows.tolist() == [100, 200, 150, 100]


def test_a_self_blend_differs_in_the_face_only(drawn):
    picture, _, marks = drawn
    changed = 0
    for seed in range(8):
        real, fake = forge.self_blend(picture, marks, np.random.default_rng(seed))
        assert real.shape == fake.shape == picture.shape
        gap = np.abs(real.astype(int) - fake).max(2)
        assert not gap[:2].any() and not gap[:, -2:].any()
        changed += gap.max() > 4
        again = forge.self_blend(picture, marks, np.random.default_rng(seed))
        assert np.array_equal(again[1], fake)
    assert changed >= 7


def test_alignment_recovers_a_similarity():
    rng = np.random.default_rng(3)
    points = rng.uniform(20, 100, (5, 2))
    moved = turned(points, 25) * 1.4 + [7, -3]
    matrix = forge.alignment(points, moved)
    assert np.allclose(points @ matrix[:, :2].T + matrix[:, 2], moved, atol=1e-9)
    mirrored = points * [-1, 1]
    assert np.linalg.det(forge.alignment(points, mirrored)[:, :2]) > 0


@pytest.mark.parametrize("poisson", [False, True])
def test_a_swap_brings_the_other_face(poisson):
    rng = np.random.default_rng(4)
    target, _, marks = train_cache.face(rng, 160)
    source, _, other = train_cache.face(rng, 160)
    corners = masks.polygons(marks, "inner", (), rng)
    fake = forge.swap(source, other, target, marks, rng, poisson=poisson, corners=corners)
    gap = np.abs(fake.astype(int) - target).max(2)
    middle = marks.mean(0).astype(int)
    assert gap[middle[1] - 20 : middle[1] + 20, middle[0] - 20 : middle[0] + 20].max() > 15
    assert gap[:4].max() == 0


def whole_face(marks, shape):
    """Where the largest mask that a graft may draw can be above 0."""
    origin, across, down = masks.frame(marks)
    half = 1.5 * max(np.hypot(*across), np.hypot(*down))
    y, x = np.mgrid[: shape[0], : shape[1]]
    middle = origin + 0.42 * down
    return (abs(x - middle[0]) <= half + 1) & (abs(y - middle[1]) <= half + 1)


def test_a_graft_draws_the_face_anew_and_nothing_else(drawn):
    picture, _, marks = drawn
    grey = np.zeros((0, 2), int)

    def decoder(crop):
        nonlocal grey
        grey = np.concatenate([grey, [crop.shape[:2]]])
        return np.full_like(crop, 128)

    for seed in range(12):
        rng = np.random.default_rng(seed)
        fake = forge.graft(picture, marks, picture, marks, decoder, rng)
        gap = np.abs(fake.astype(int) - picture).max(2)
        assert gap.max() > 20, seed
        assert not gap[~whole_face(marks, picture.shape)].any()
        again = forge.graft(picture, marks, picture, marks, decoder, np.random.default_rng(seed))
        assert np.array_equal(fake, again)
    assert not (grey % 16).any()
    assert 80 <= grey.max() <= 208 and grey.min() >= 16


def test_a_graft_without_a_decoder_is_softer_inside(drawn):
    picture, _, marks = drawn
    textured = np.random.default_rng(1).integers(0, 256, picture.shape).astype(np.uint8)
    x, y = (marks[:2].mean(0) + marks[3:].mean(0)).astype(int) // 2
    inside = np.s_[y - 8 : y + 8, x - 8 : x + 8]
    softer = []
    for seed in range(12):
        fake = forge.graft(textured, marks, textured, marks, None, np.random.default_rng(seed))
        softer.append(np.diff(fake[inside].astype(int), axis=1).std())
    sharp = np.diff(textured[inside].astype(int), axis=1).std()
    assert np.median(softer) < 0.8 * sharp


def test_a_graft_needs_the_face_inside(drawn):
    picture, _, marks = drawn
    with pytest.raises(ValueError, match="outside the picture"):
        forge.graft(picture, marks, picture, marks + 400, None, np.random.default_rng(0))


def test_likest_takes_the_same_pose(drawn):
    _, _, marks = drawn
    others = np.stack([marks, marks * [0.5, 1], turned(marks, 30) + 9, marks * [1, 0.5]])
    assert forge.likest(others, 0, np.array([1, 2, 3])) == 2


def test_match_colours_takes_the_targets_mean():
    rng = np.random.default_rng(6)
    source = rng.integers(20, 80, (32, 32, 3)).astype(np.uint8)
    target = rng.integers(120, 200, (32, 32, 3)).astype(np.uint8)
    matched = forge.match_colours(source, target, np.ones((32, 32), np.float32))
    assert np.allclose(matched.mean((0, 1)), target.mean((0, 1)), atol=6)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((40, 30, 20, 20), (37, 27, 26, 26)),  # inside
        ((0, 30, 20, 20), (0, 27, 26, 26)),  # moved from the left edge
        ((85, 85, 20, 10), (74, 74, 26, 26)),  # moved from the lower right corner
        ((-10, -10, 120, 120), (0, 0, 100, 100)),  # larger than the picture
    ],
)
def test_crop_square(box, expected):
    assert augment.crop_square((100, 100, 3), np.array(box), 1.3) == expected


def test_a_history_is_the_same_for_both(drawn):
    picture, box, _ = drawn
    for seed in range(25):
        history = augment.History.draw(np.random.default_rng(seed))
        small = max(40, round(history.side(picture, box) * history.share))
        first = history.apply(picture, box, small, 96)
        assert first.shape == (96, 96, 3) and first.dtype == np.uint8
        assert np.array_equal(first, history.apply(picture.copy(), box, small, 96))


def test_histories_vary(drawn):
    picture, box, _ = drawn
    drawn_ = [augment.History.draw(np.random.default_rng(s)) for s in range(200)]
    assert {h.flip for h in drawn_} == {True, False}
    for name in ("angle", "blur", "noise", "quality"):
        used = sum(bool(getattr(h, name)) for h in drawn_)
        assert 10 < used < 150, name
    mild = [augment.History.draw(np.random.default_rng(s), 0.0) for s in range(20)]
    assert all(h.blur == 0 and h.quality == 0 for h in mild)
    sides = {h.side(picture, box) for h in drawn_}
    assert len(sides) > 20


def test_harsh_histories_reach_the_hardest_levels():
    def drawn_(**how):
        return [augment.History.draw(np.random.default_rng(s), **how) for s in range(600)]

    mild, harsh = drawn_(), drawn_(harsh=True)
    assert max(h.blur for h in mild) < 2.7 < 3.3 < max(h.blur for h in harsh)
    assert max(h.noise for h in mild) < 13 < 40 < max(h.noise for h in harsh)
    assert not any(h.salt for h in mild)
    assert 0.03 < max(h.salt for h in harsh) <= 0.05
    assert min(h.share for h in harsh) < 0.17
    # What the damage does not touch is drawn as before.
    assert [h.angle for h in mild] == [h.angle for h in harsh]
    damaged = sum(
        (a.blur, a.noise, a.salt, a.share) != (b.blur, b.noise, b.salt, b.share)
        for a, b in zip(mild, harsh, strict=True)
    )
    assert 150 < damaged < 250


def test_salt_and_pepper_hit_their_share_of_both_pictures():
    history = augment.History.draw(np.random.default_rng(0), 0.0)
    history.salt = 0.05
    grey = np.full((160, 160, 3), 128, np.uint8)
    crop = history._quality(grey, 1.0)
    assert 0.015 < (crop == 255).all(2).mean() < 0.035
    assert 0.015 < (crop == 0).all(2).mean() < 0.035
    assert np.array_equal(crop, history._quality(grey.copy(), 1.0))
    assert (grey == 128).all()

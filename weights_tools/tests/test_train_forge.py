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

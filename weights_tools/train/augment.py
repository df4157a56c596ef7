"""One history for both pictures of a pair: crop, resize, quality, colour, JPEG.

Called by data.py. Compression, size and sharpness leak the label wherever real and fake have
different histories, so the numbers are drawn once (`History.draw`) and applied to both pictures
(`History.apply`). `face_crop` is the crop that the model file asks for at inference.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

#: Of the network's input, after / 255; in the model file, too.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
MARGIN = 1.3  # side of the square in longer sides of the face box; in the model file, too

_DOWN = (cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def crop_square(
    shape: tuple[int, ...], box: np.ndarray, margin: float, shift: tuple[float, float] = (0, 0)
) -> tuple[int, int, int, int]:
    """(x, y, w, h) of the square around a face box (x, y, w, h), in whole pixels: moved inside
    the picture, cut where it is larger. As libdfnet does with dfnet.face.outside = shift;
    `shift` moves the square by parts of its side."""
    x, y, w, h = (float(v) for v in box)
    side = max(w, h) * margin
    left = x + w / 2 - side / 2 + shift[0] * side
    top = y + h / 2 - side / 2 + shift[1] * side
    result = []
    for start, limit in ((left, shape[1]), (top, shape[0])):
        first = int(np.floor(start + 0.5))
        size = max(1, int(np.floor(start + side + 0.5)) - first)
        if first + size > limit:
            first = limit - size
        first = max(first, 0)
        result.append((first, min(first + size, limit) - first))
    return result[0][0], result[1][0], result[0][1], result[1][1]


def face_crop(picture: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """The network's input as bytes [size, size, 3]: what libdfnet makes of picture and box."""
    x, y, w, h = crop_square(picture.shape, box, MARGIN)
    crop = np.ascontiguousarray(picture[y : y + h, x : x + w])
    return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG and back; RGB in, RGB out."""
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


@dataclass
class History:
    """The numbers of one history; `None` or 0 leaves a step out."""

    margin: float
    shift: tuple[float, float]
    angle: float
    black: bool
    flip: bool
    share: float  # of the crop's side that the picture is made small to, 0..1
    down: int
    blur: float
    noise: float
    noise_seed: int
    quality: int
    quality_again: int
    gain: np.ndarray
    offset: np.ndarray
    chroma: float
    patch: tuple[float, float, float, float] | None
    early: bool  # quality steps before the picture is made small
    salt: float = 0.0  # share of pixels that become black or white

    @staticmethod
    def draw(rng: np.random.Generator, strength: float = 1.0, *, harsh: bool = False) -> History:
        """Random numbers; strength scales how often the damaging steps happen, not how far.
        harsh: every third history is damaged up to the hardest level of the alterations bench
        in one way: blur, noise, salt and pepper or a low resolution."""

        def happens(p: float) -> bool:
            return bool(rng.random() < p * strength)

        tone = happens(0.7)
        contrast = rng.uniform(0.7, 1.25) if tone else 1.0
        gain = contrast * (1 + (rng.uniform(-0.08, 0.08, 3) if tone else np.zeros(3)))
        bright = rng.uniform(-40, 40) if tone else 0.0
        history = History(
            margin=MARGIN * float(np.exp(rng.uniform(-0.16, 0.24))),
            shift=(float(rng.uniform(-0.07, 0.07)), float(rng.uniform(-0.07, 0.07))),
            angle=float(rng.uniform(-22, 22)) if happens(0.4) else 0.0,
            black=bool(rng.random() < 0.6),
            flip=bool(rng.random() < 0.5),
            share=float(np.exp(rng.uniform(np.log(0.22), 0))) if happens(0.45) else 1.0,
            down=int(rng.choice(_DOWN)),
            blur=float(rng.uniform(0.4, 2.6)) if happens(0.25) else 0.0,
            noise=float(rng.uniform(1, 12)) if happens(0.15) else 0.0,
            noise_seed=int(rng.integers(2**31)),
            quality=int(rng.integers(20, 96)) if happens(0.6) else 0,
            quality_again=int(rng.integers(50, 96)) if happens(0.3) else 0,
            gain=gain.astype(np.float32),
            offset=np.float32(128 - 128 * gain + bright).astype(np.float32),
            chroma=float(rng.choice([0.0, rng.uniform(0.4, 1.3)], p=[0.12, 0.88]))
            if happens(0.5)
            else 1.0,
            patch=tuple(rng.uniform(0, 1, 4)) if happens(0.1) else None,
            early=bool(rng.random() < 0.5),
        )
        if harsh and happens(0.33):
            history._damage(rng)
        return history

    def _damage(self, rng: np.random.Generator) -> None:
        """One strong damage; the other kinds keep what they drew, but for noise beside blur."""
        kind = str(rng.choice(("blur", "noise", "salt", "small"), p=[0.25, 0.35, 0.15, 0.25]))
        if kind == "blur":
            self.blur, self.noise = float(rng.uniform(1.5, 3.6)), 0.0
        elif kind == "noise":
            self.noise = float(np.exp(rng.uniform(np.log(6), np.log(52))))
        elif kind == "salt":
            self.salt = float(np.exp(rng.uniform(np.log(0.002), np.log(0.05))))
        else:
            self.share = float(np.exp(rng.uniform(np.log(0.14), np.log(0.4))))

    def side(self, picture: np.ndarray, box: np.ndarray) -> int:
        """Pixels of the crop's side before anything is made small."""
        return max(crop_square(picture.shape, box, self.margin, self.shift)[2:])

    def apply(self, picture: np.ndarray, box: np.ndarray, small: int, size: int) -> np.ndarray:
        """Bytes [size, size, 3]. small: the side, in pixels, that the face crop is brought to
        before the final resize; give both pictures of a pair the same."""
        if self.angle:
            picture = self._rotated(picture, box)
        x, y, w, h = crop_square(picture.shape, box, self.margin, self.shift)
        crop = np.ascontiguousarray(picture[y : y + h, x : x + w])
        if self.flip:
            crop = np.ascontiguousarray(crop[:, ::-1])
        if self.early:
            crop = self._quality(crop, max(w, h) / size)
        if max(w, h) > small:
            scale = small / max(w, h)
            to = (max(8, round(w * scale)), max(8, round(h * scale)))
            crop = cv2.resize(crop, to, interpolation=self.down)
        if not self.early:
            crop = self._quality(crop, small / size)
        result = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
        return self._colours(result)

    def _rotated(self, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
        middle = (float(box[0] + box[2] / 2), float(box[1] + box[3] / 2))
        matrix = cv2.getRotationMatrix2D(middle, self.angle, 1.0)
        border = cv2.BORDER_CONSTANT if self.black else cv2.BORDER_REFLECT_101
        return cv2.warpAffine(
            picture, matrix, picture.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=border
        )

    def _quality(self, crop: np.ndarray, scale: float) -> np.ndarray:
        """Blur (in pixels of the network's input), noise and JPEG."""
        if self.blur:
            crop = cv2.GaussianBlur(crop, (0, 0), max(0.3, self.blur * scale))
        if self.noise:
            rng = np.random.default_rng(self.noise_seed)
            grain = rng.standard_normal(crop.shape, dtype=np.float32) * self.noise
            crop = np.clip(crop + grain, 0, 255).astype(np.uint8)
        if self.salt:
            rng = np.random.default_rng(self.noise_seed)
            drawn = rng.random(crop.shape[:2], dtype=np.float32)
            crop = crop.copy()
            crop[drawn < self.salt] = 255
            crop[drawn < self.salt / 2] = 0
        for quality in (self.quality, self.quality_again):
            if quality:
                crop = jpeg(crop, quality)
        return crop

    def _colours(self, picture: np.ndarray) -> np.ndarray:
        x = picture.astype(np.float32) * self.gain + self.offset
        if self.chroma != 1:
            grey = x @ np.array([0.299, 0.587, 0.114], np.float32)
            x = grey[..., None] + (x - grey[..., None]) * self.chroma
        result = np.clip(x, 0, 255).astype(np.uint8)
        if self.patch:
            side = result.shape[0]
            a, b, c, d = self.patch
            w, h = (int(side * (0.08 + 0.25 * v)) for v in (c, d))
            left, top = int(a * (side - w)), int(b * (side - h))
            result[top : top + h, left : left + w] = int(a * 255)
        return result

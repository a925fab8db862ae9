"""Every form of an image is decoded upright, grey and in range; any other file is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.Image import Transpose

from container import grey_levels, imaging, problem
from container.problem import Problem
from tests.container import samples

SCAN = samples.scan()
ORIENTATION = 0x0112  # EXIF's tag


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(imaging.decode(data)).astype(int)


def refused(data: bytes) -> int:
    with pytest.raises(Problem) as caught:
        imaging.decode(data)
    return caught.value.status


def with_alpha(mode: str, alpha: int) -> Image.Image:
    image = SCAN.convert(mode)
    image.putalpha(alpha)
    return image


SAME_PICTURE = {
    "grey PNG": samples.png(SCAN),
    "RGB PNG": samples.png(SCAN.convert("RGB")),
    "palette PNG": samples.png(SCAN.convert("P")),
    "opaque grey and alpha PNG": samples.png(with_alpha("L", 255)),
    "opaque RGBA PNG": samples.png(with_alpha("RGB", 255)),
    "animated PNG": samples.png(SCAN, save_all=True, append_images=[SCAN.rotate(90), SCAN.rotate(180)]),
    "PNG with trailing bytes": samples.png(SCAN) + b"trailing bytes",
}


@pytest.mark.parametrize("form", SAME_PICTURE)
def test_a_lossless_form_gives_exactly_the_same_pixels(form: str) -> None:
    assert np.array_equal(pixels(SAME_PICTURE[form]), np.asarray(SCAN))


# Scanners use 8, 10, 12 or all of 16 bits; signed values become unsigned by an offset.
@pytest.mark.parametrize(("unit", "offset"), [(1, 0), (4, 0), (16, 32768), (257, 0)])
def test_a_wide_picture_gives_exactly_the_same_input(unit: int, offset: int) -> None:
    wide = Image.fromarray((np.asarray(SCAN).astype(int) * unit + offset).astype(np.uint16))
    given = imaging.decode(samples.png(wide))
    assert np.array_equal(imaging.preprocess(given, size=64), imaging.preprocess(SCAN, size=64))


def cmyk(image: Image.Image) -> Image.Image:
    black = Image.new("L", image.size)
    return Image.merge("CMYK", (black, black, black, image.point(lambda level: 255 - level)))


SIMILAR_PICTURE = {
    "grey JPEG": samples.jpeg(SCAN),
    "RGB JPEG": samples.jpeg(SCAN.convert("RGB")),
    "progressive JPEG": samples.jpeg(SCAN.convert("RGB"), progressive=True),
    "CMYK JPEG": samples.jpeg(cmyk(SCAN)),
    "multi-picture JPEG": samples.encoded(
        SCAN, "MPO", quality=95, save_all=True, append_images=[SCAN.rotate(90), SCAN.rotate(180)]
    ),
}


PICTURES = SAME_PICTURE | SIMILAR_PICTURE | {"16-bit PNG": samples.png(samples.sixteen_bits(SCAN))}


@pytest.mark.parametrize("form", SIMILAR_PICTURE)
def test_a_lossy_form_gives_nearly_the_same_pixels(form: str) -> None:
    assert np.abs(pixels(SIMILAR_PICTURE[form]) - np.asarray(SCAN)).mean() < 2


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_transparent_pixels_become_black(mode: str) -> None:
    assert pixels(samples.png(with_alpha(mode, 0))).max() == 0
    half = pixels(samples.png(with_alpha(mode, 128)))
    assert np.abs(half - np.asarray(SCAN) * (128 / 255)).max() <= 1


@pytest.mark.parametrize(
    ("image", "key"),
    [
        (Image.new("L", (40, 40), 200), 200),
        (Image.new("RGB", (40, 40), (200, 100, 50)), (200, 100, 50)),
        (Image.new("P", (40, 40), 7), 7),
        (samples.sixteen_bits(Image.new("L", (40, 40), 200)), 200 * 257),
    ],
    ids=["grey", "RGB", "palette", "16 bits"],
)
def test_a_transparent_colour_becomes_black(image: Image.Image, key: int | tuple[int, int, int]) -> None:
    assert pixels(samples.png(image, transparency=key)).max() == 0


# How a camera stores a scene in each orientation.
STORED_AS = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "16 bits"])
def test_every_exif_orientation_is_turned_upright(orientation: int, *, deep: bool) -> None:
    method = STORED_AS[orientation]
    stored = SCAN if method is None else SCAN.transpose(method)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = samples.png(samples.sixteen_bits(stored) if deep else stored, exif=exif)
    assert np.array_equal(pixels(data), np.asarray(grey_levels.spread(SCAN) if deep else SCAN))


def test_an_image_with_unreadable_exif_stays_as_stored() -> None:
    data = samples.jpeg(SCAN, exif=b"Exif\0\0" + bytes(range(40)))
    assert np.array_equal(pixels(data), pixels(samples.jpeg(SCAN)))


@pytest.mark.parametrize(
    ("form", "kept"),
    [
        *((form, kept) for form in ("grey PNG", "16-bit PNG", "animated PNG") for kept in (0.05, 0.6, 0.99)),
        *((form, kept) for form in SIMILAR_PICTURE for kept in (0.01, 0.3)),
        *(
            (form, -lost)
            for form in ("grey JPEG", "progressive JPEG", "CMYK JPEG")
            for lost in (1, 2, 10, 100)
        ),
    ],
)
def test_a_truncated_file_is_a_bad_request(form: str, kept: float) -> None:
    data = PICTURES[form]
    end = int(kept) if kept < 0 else max(9, int(len(data) * kept))
    assert refused(data[:end]) == 400


def flipped_bit(data: bytes) -> bytes:
    half = len(data) // 2
    return data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]


def palette_png(palette: bytes) -> bytes:
    """Return a palette PNG with other chunks instead of its palette."""
    data = SAME_PICTURE["palette PNG"]
    return data[: data.index(b"PLTE") - 4] + palette + data[data.index(b"IDAT") - 4 :]


PALETTE = samples.chunk(b"PLTE", bytes(range(256)) * 3)
REFUSED = {
    "text": (b"brain", 415),
    "GIF": (samples.encoded(SCAN, "GIF"), 415),
    "JPEG 2000": (samples.encoded(SCAN, "JPEG2000"), 415),
    "a flipped bit": (flipped_bit(SAME_PICTURE["grey PNG"]), 400),
    "no palette": (palette_png(b""), 400),
    "transparency beyond the palette": (palette_png(PALETTE + samples.chunk(b"tRNS", bytes(900))), 400),
    "a comment of 200 MB": (samples.text_bomb(), 400),
    "thousands of scans": (samples.scans_bomb(), 400),
    "too many bytes": (samples.png(SCAN) + bytes(problem.MAX_IMAGE_BYTES), 413),
    "too many pixels by its header": (samples.png_of(width=20_000, height=20_000, pixels=b"none"), 413),
}


@pytest.mark.parametrize("name", REFUSED)
def test_any_other_file_is_refused(name: str) -> None:
    data, status = REFUSED[name]
    assert refused(data) == status


def test_an_image_with_the_most_pixels_is_accepted() -> None:
    side = 5000
    assert side * side == problem.MAX_IMAGE_PIXELS
    data = samples.png_of(width=side, height=side, pixels=samples.zeros(side * (1 + side // 8)))
    assert imaging.decode(data).size == (side, side)


def head(width: int = 120, height: int = 160) -> Image.Image:
    """Draw a bright textured ellipse that fills its image."""
    rows, columns = np.mgrid[0:height, 0:width]
    inside = np.hypot((columns - width / 2) / (width / 2), (rows - height / 2) / (height / 2)) < 1
    return Image.fromarray(
        (inside * (130 + 60 * np.sin(rows / 25) + 40 * np.cos(columns / 20))).astype(np.uint8)
    )


def on_black(image: Image.Image, *, size: tuple[int, int], at: tuple[int, int]) -> Image.Image:
    canvas = Image.new("L", size)
    canvas.paste(image, at)
    return canvas


def test_margins_and_the_shape_of_the_file_do_not_matter() -> None:
    plain = imaging.preprocess(head(), size=64)
    for size, at in (((300, 200), (150, 20)), ((200, 400), (10, 220)), ((121, 161), (1, 0))):
        framed = imaging.preprocess(on_black(head(), size=size, at=at), size=64)
        assert np.abs(framed - plain).mean() < 0.04, size


def test_letters_and_thin_lines_are_not_content() -> None:
    framed = on_black(head(), size=(400, 300), at=(200, 100))
    marked = framed.copy()
    pen = ImageDraw.Draw(marked)
    pen.text((5, 5), "R 24 SE:3", fill=255)
    pen.line([(10, 30), (10, 290)], fill=255, width=2)
    assert imaging.content_box(marked) == pytest.approx(imaging.content_box(framed), abs=1)


def test_brightness_and_contrast_do_not_matter() -> None:
    plain = imaging.preprocess(head(), size=64)
    for gain, offset in ((0.7, 0), (1.2, 0), (0.8, 30)):
        lit = head().point([min(255, round(gain * level + offset)) for level in range(256)])
        assert np.abs(imaging.preprocess(lit, size=64) - plain).mean() < 0.03, (gain, offset)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5000, 1), (33, 97), (128, 128), (1920, 1080)])
@pytest.mark.parametrize("level", [0, 255])
def test_the_content_box_of_a_flat_image_is_all_of_it(width: int, height: int, level: int) -> None:
    image = Image.new("L", (width, height), level)
    assert imaging.content_box(image) == pytest.approx((0, 0, width, height))
    assert np.all(imaging.preprocess(image, size=128) == level / 255)


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    # A board of single black and white pixels averages to grey; skipping would make it black or white.
    board = Image.fromarray((np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8))
    square = imaging.preprocess(board, size=64)
    assert np.abs(square - 0.5).max() < 0.05

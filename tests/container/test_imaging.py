"""Whatever form a picture comes in, its pixels arrive upright, grey and in range; what is none is refused."""

from __future__ import annotations

import os
import random
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.Image import Transpose

from container import imaging, limits
from container.problem import Problem

from . import pictures

if TYPE_CHECKING:
    from collections.abc import Callable

SCAN = pictures.scan()
ORIENTATION = 0x0112  # EXIF's tag


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(imaging.decode(data)).astype(int)


def refused(data: bytes) -> int:
    with pytest.raises(Problem) as caught:
        imaging.decode(data)
    return caught.value.status


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def with_alpha(mode: str, alpha: int) -> Image.Image:
    image = SCAN.convert(mode)
    image.putalpha(alpha)
    return image


SAME_PICTURE = {
    "grey PNG": pictures.png(SCAN),
    "RGB PNG": pictures.png(SCAN.convert("RGB")),
    "palette PNG": pictures.png(SCAN.convert("P")),
    "16-bit PNG": pictures.png(sixteen_bits(SCAN)),
    "opaque grey and alpha PNG": pictures.png(with_alpha("L", 255)),
    "opaque RGBA PNG": pictures.png(with_alpha("RGB", 255)),
    "animated PNG": pictures.png(SCAN, save_all=True, append_images=[SCAN.rotate(90), SCAN.rotate(180)]),
    "PNG with something behind its end": pictures.png(SCAN) + b"trailing bytes",
}


@pytest.mark.parametrize("form", SAME_PICTURE)
def test_a_lossless_form_gives_exactly_the_same_pixels(form: str) -> None:
    assert np.array_equal(pixels(SAME_PICTURE[form]), np.asarray(SCAN))


def cmyk(image: Image.Image) -> Image.Image:
    black = Image.new("L", image.size)
    return Image.merge("CMYK", (black, black, black, image.point(lambda level: 255 - level)))


SIMILAR_PICTURE = {
    "grey JPEG": pictures.jpeg(SCAN),
    "RGB JPEG": pictures.jpeg(SCAN.convert("RGB")),
    "progressive JPEG": pictures.jpeg(SCAN.convert("RGB"), progressive=True),
    "CMYK JPEG": pictures.jpeg(cmyk(SCAN)),
    "multi-picture JPEG": pictures.encoded(
        SCAN, "MPO", quality=95, save_all=True, append_images=[SCAN.rotate(90), SCAN.rotate(180)]
    ),
}


@pytest.mark.parametrize("form", SIMILAR_PICTURE)
def test_a_lossy_form_gives_nearly_the_same_pixels(form: str) -> None:
    assert np.abs(pixels(SIMILAR_PICTURE[form]) - np.asarray(SCAN)).mean() < 2


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_transparency_shows_black(mode: str) -> None:
    assert pixels(pictures.png(with_alpha(mode, 0))).max() == 0
    half = pixels(pictures.png(with_alpha(mode, 128)))
    assert np.abs(half - np.asarray(SCAN) * (128 / 255)).max() <= 1


@pytest.mark.parametrize(
    ("image", "key"),
    [
        (Image.new("L", (40, 40), 200), 200),
        (Image.new("RGB", (40, 40), (200, 100, 50)), (200, 100, 50)),
        (Image.new("P", (40, 40), 7), 7),
        (sixteen_bits(Image.new("L", (40, 40), 200)), 200 * 257),
    ],
    ids=["grey", "RGB", "palette", "16 bits"],
)
def test_a_transparent_colour_shows_black(image: Image.Image, key: int | tuple[int, int, int]) -> None:
    assert pixels(pictures.png(image, transparency=key)).max() == 0


# How a camera that was held in each orientation stored the scene.
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
    data = pictures.png(sixteen_bits(stored) if deep else stored, exif=exif)
    assert np.array_equal(pixels(data), np.asarray(SCAN))


def test_unreadable_exif_leaves_the_picture_as_stored() -> None:
    data = pictures.jpeg(SCAN, exif=b"Exif\0\0" + bytes(range(40)))
    assert np.array_equal(pixels(data), pixels(pictures.jpeg(SCAN)))


OTHER_FORMATS = {
    "text": b"brain",
    "GIF": pictures.encoded(SCAN, "GIF"),
    "WebP": pictures.encoded(SCAN, "WEBP"),
    "TIFF": pictures.encoded(SCAN, "TIFF"),
    "BMP": pictures.encoded(SCAN, "BMP"),
    "JPEG 2000": pictures.encoded(SCAN, "JPEG2000"),
    "PDF": pictures.encoded(SCAN, "PDF"),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("form", OTHER_FORMATS)
def test_another_format_is_an_unsupported_media_type(form: str) -> None:
    assert refused(OTHER_FORMATS[form]) == 415


def test_no_bytes_are_a_bad_request() -> None:
    assert refused(b"") == 400


@pytest.mark.parametrize("form", ["grey PNG", "RGB PNG", "16-bit PNG", "animated PNG"])
@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_png_is_a_bad_request(form: str, kept: float) -> None:
    data = SAME_PICTURE[form]
    assert refused(data[: max(9, int(len(data) * kept))]) == 400


@pytest.mark.parametrize("form", SIMILAR_PICTURE)
@pytest.mark.parametrize("kept", [0.01, 0.1, 0.3])
def test_a_truncated_jpeg_is_a_bad_request(form: str, kept: float) -> None:
    data = SIMILAR_PICTURE[form]
    assert refused(data[: max(4, int(len(data) * kept))]) == 400


@pytest.mark.parametrize("lost", [1, 2, 10, 100])
@pytest.mark.parametrize("form", ["grey JPEG", "progressive JPEG", "CMYK JPEG"])
def test_a_jpeg_that_lost_its_end_is_a_bad_request(form: str, lost: int) -> None:
    assert refused(SIMILAR_PICTURE[form][:-lost]) == 400


def test_a_png_with_one_flipped_bit_is_a_bad_request() -> None:
    data = bytearray(SAME_PICTURE["grey PNG"])
    data[len(data) // 2] ^= 1
    assert refused(bytes(data)) == 400


def test_a_png_without_its_palette_is_a_bad_request() -> None:
    data = SAME_PICTURE["palette PNG"]
    start, end = data.index(b"PLTE") - 4, data.index(b"IDAT") - 4
    assert refused(data[:start] + data[end:]) == 400


def test_transparency_of_more_colours_than_there_can_be_is_a_bad_request() -> None:
    data = SAME_PICTURE["palette PNG"]
    start = data.index(b"IDAT") - 4
    assert refused(data[:start] + pictures.chunk(b"tRNS", bytes(900)) + data[start:]) == 400


def test_too_many_bytes_are_too_large() -> None:
    assert refused(pictures.png(SCAN) + bytes(limits.MAX_IMAGE_BYTES)) == 413


def test_too_many_pixels_are_too_large_before_one_is_decoded() -> None:
    began = time.process_time()
    assert refused(pictures.png_of(width=20_000, height=20_000, pixels=b"no pixels at all")) == 413
    assert time.process_time() - began < 0.1


def test_the_largest_picture_is_accepted() -> None:
    side = 5000
    assert side * side == limits.MAX_IMAGE_PIXELS
    data = pictures.png_of(width=side, height=side, pixels=pictures.zeros(side * (1 + side // 8)))
    assert imaging.decode(data).size == (side, side)


@pytest.mark.parametrize("bomb", [pictures.text_bomb, pictures.scans_bomb])
def test_a_file_made_to_cost_is_refused_at_once(bomb: Callable[[], bytes]) -> None:
    data = bomb()
    assert len(data) < limits.MAX_IMAGE_BYTES
    began = time.process_time()
    assert refused(data) == 400
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "form", ["palette PNG", "16-bit PNG", "animated PNG", "progressive JPEG", "CMYK JPEG"]
)
def test_damaged_bytes_are_decoded_or_refused_but_never_crash(form: str) -> None:
    chance = random.Random(form)
    whole = (SAME_PICTURE | SIMILAR_PICTURE)[form]
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 4, 16))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            image = imaging.decode(bytes(damaged))
        except Problem:
            continue  # anything else it may raise fails this test
        assert image.mode == "L"


def head(width: int = 120, height: int = 160) -> Image.Image:
    """A bright textured ellipse that fills its picture."""
    rows, columns = np.mgrid[0:height, 0:width]
    inside = np.hypot((columns - width / 2) / (width / 2), (rows - height / 2) / (height / 2)) < 1
    return Image.fromarray(
        (inside * (130 + 60 * np.sin(rows / 25) + 40 * np.cos(columns / 20))).astype(np.uint8)
    )


def on_black(image: Image.Image, *, size: tuple[int, int], at: tuple[int, int]) -> Image.Image:
    canvas = Image.new("L", size)
    canvas.paste(image, at)
    return canvas


def test_margins_and_shape_of_the_file_do_not_count() -> None:
    plain = imaging.preprocess(head(), size=64)
    for size, at in (((300, 200), (150, 20)), ((200, 400), (10, 220)), ((121, 161), (1, 0))):
        framed = imaging.preprocess(on_black(head(), size=size, at=at), size=64)
        assert np.abs(framed - plain).mean() < 0.04, size


def test_letters_and_thin_lines_are_no_content() -> None:
    framed = on_black(head(), size=(400, 300), at=(200, 100))
    marked = framed.copy()
    pen = ImageDraw.Draw(marked)
    pen.text((5, 5), "R 24 SE:3", fill=255)
    pen.line([(10, 30), (10, 290)], fill=255, width=2)
    assert imaging.content_box(marked) == pytest.approx(imaging.content_box(framed), abs=1)


def test_brightness_and_contrast_do_not_count() -> None:
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
    # A board of single black and white pixels is grey from afar; skipping would make it black or white.
    board = Image.fromarray((np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8))
    square = imaging.preprocess(board, size=64)
    assert np.abs(square - 0.5).max() < 0.05


def test_preprocessing_gives_one_channel_from_black_to_white() -> None:
    square = imaging.preprocess(pictures.scan(), size=64)
    assert square.shape == (64, 64, 1)
    assert square.dtype == np.float32
    assert (square.min(), square.max()) == (0, 1)


def test_every_real_image_is_decoded_in_range() -> None:
    folder = os.environ.get("TUMOR_DATA")
    if not folder:
        pytest.skip("TUMOR_DATA names no folder of real images")
    files = sorted(path for path in Path(folder).glob("*/*") if path.parent.name in {"yes", "no"})
    assert files
    for path in files:
        image = imaging.decode(path.read_bytes())
        stored = Image.open(BytesIO(path.read_bytes()))
        assert sorted(image.size) == sorted(stored.size)
        square = imaging.preprocess(image, size=128)
        assert 0 <= square.min() < 0.4 < square.max() <= 1, path.name

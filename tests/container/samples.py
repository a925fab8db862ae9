"""Draws the tests' images and encodes them as files; no image is kept in git."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image


def scan(width: int = 120, height: int = 90) -> Image.Image:
    """Draw a grey image that resembles a head: bright on black, without any symmetry."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    head = np.where(x**2 / 0.6 + y**2 / 0.75 < 1, 110 + 60 * x - 30 * y, 0)
    lesion = np.where((x - 0.3) ** 2 + (y + 0.35) ** 2 < 0.03, 60, 0)
    return Image.fromarray(np.clip(head + lesion, 0, 255).astype(np.uint8))


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def png(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "PNG", **options)


def jpeg(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "JPEG", **({"quality": 95} | options))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_of(*, width: int, height: int, pixels: bytes, chunks: bytes = b"") -> bytes:
    """Assemble a 1-bit grey PNG with any size in its header and any compressed pixels."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def zeros(count: int) -> bytes:
    """Return `count` zero bytes, compressed to a thousandth of them."""
    packer = zlib.compressobj(9)
    block = bytes(2**20)
    packed = b"".join(packer.compress(block[: min(2**20, count - start)]) for start in range(0, count, 2**20))
    return packed + packer.flush()


def too_many_pixels() -> bytes:
    """A valid PNG of 20,000 x 20,000 black pixels in some 50 KB."""
    return png_of(width=20_000, height=20_000, pixels=zeros(20_000 * (1 + 20_000 // 8)))


def text_bomb() -> bytes:
    """A small PNG with a comment of 200 MB in some 200 KB."""
    comment = chunk(b"zTXt", b"Comment\0\0" + zeros(200 * 2**20))
    return png_of(width=64, height=64, pixels=zlib.compress(bytes(64 * 9)), chunks=comment)


def scans_bomb() -> bytes:
    """A JPEG with thousands of scans, each of which passes over all of its pixels."""
    data = jpeg(scan(64, 64), progressive=True)
    last = data.rindex(b"\xff\xda")
    end = data.rindex(b"\xff\xd9")
    return data[:last] + data[last:end] * 2000 + data[end:]

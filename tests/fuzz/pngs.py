"""PNG files put together chunk by chunk, as no encoder would."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from tests.container.pictures import chunk, zeros

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGIC = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
GREY = bytes(level for level in range(256) for _ in range(3))  # a palette
# Those that Pillow's reader knows by name.
KNOWN = (
    *("IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "iCCP", "sRGB", "sBIT", "bKGD", "hIST"),
    *("pHYs", "sPLT", "tIME", "tEXt", "zTXt", "iTXt", "eXIf", "acTL", "fcTL", "fdAT"),
)


def header(
    width: int, height: int, *, depth: int = 8, colour: int = 0, rest: tuple[int, int, int] = (0, 0, 0)
) -> bytes:
    """An IHDR chunk; `rest` is compression, filter and interlacing."""
    return chunk(b"IHDR", struct.pack(">IIBB3B", width, height, depth, colour, *rest))


def file(*chunks: bytes) -> bytes:
    """A file of these chunks and an IEND."""
    return MAGIC + b"".join(chunks) + chunk(b"IEND", b"")


def drawn(
    side: int = 96, *, depth: int = 8, colour: int = 0, interlaced: bool = False, filters: int = 1
) -> bytes:
    """A file of a bright disc on black, in any of the format's forms; of some that it has not, too."""
    palette = [chunk(b"PLTE", GREY)] if colour == 3 else []
    pixels = b"".join(scanlines(side, depth=depth, colour=colour, interlaced=interlaced, filters=filters))
    head = header(side, side, depth=depth, colour=colour, rest=(0, 0, int(interlaced)))
    return file(head, *palette, chunk(b"IDAT", zlib.compress(pixels)))


def scanlines(side: int, *, depth: int, colour: int, interlaced: bool, filters: int) -> Iterator[bytes]:
    channels = CHANNELS.get(colour, 1)
    top = (1 << min(depth, 16)) - 1
    for x0, y0, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns = range(x0, side, across)
        for y in range(y0, side, down):
            bits = 0
            for x in columns:
                bright = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 3) ** 2
                level = top * (x + y) // (2 * side) if bright else 0
                for _ in range(channels):
                    bits = bits << depth | level
            size = len(columns) * channels * depth
            if size:
                packed = (bits << -size % 8).to_bytes((size + 7) // 8, "big")
                yield bytes([y % filters]) + packed


def chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the chunks of a file begin and end, as far as their lengths make sense."""
    start = len(MAGIC)
    while start + 12 <= len(data):
        end = start + 12 + int(struct.unpack_from(">I", data, start)[0])
        if end > len(data):
            return
        yield start, end
        start = end


def with_checksums(data: bytes) -> bytes:
    """The same file with every checksum right, so that what was changed is read at all."""
    mended = bytearray(data)
    for start, end in chunks(data):
        mended[end - 4 : end] = struct.pack(">I", zlib.crc32(mended[start + 4 : end - 4]))
    return bytes(mended)


def between(data: bytes, *extra: bytes) -> bytes:
    """The same file with more chunks behind its header."""
    return data[:33] + b"".join(extra) + data[33:]


def odd_files() -> dict[str, bytes]:
    """Files that stress a reader, by what is odd about them."""
    base = drawn()
    odd = dict(_forms())
    for name in KNOWN:
        kind = name.encode()
        odd[f"PNG, empty {name}"] = between(base, chunk(kind, b""))
        odd[f"PNG, empty {name} first"] = file(chunk(kind, b""), base[8:33], base[33:-12])
        odd[f"PNG, garbage {name}"] = between(base, chunk(kind, bytes(range(256)) * 3))
        odd[f"PNG, two {name}"] = between(base, *(chunk(kind, bytes(13)) for _ in range(2)))
    for number, (start, end) in enumerate(chunks(base)):
        odd[f"PNG, wrong checksum {number}"] = base[: end - 1] + bytes([base[end - 1] ^ 1]) + base[end:]
        for length in (0, 1, 2**31 - 1, 2**31, 2**32 - 1):
            odd[f"PNG, chunk {number} of length {length}"] = (
                base[:start] + struct.pack(">I", length) + base[start + 4 :]
            )
    return odd | dict(_sizes()) | dict(_floods(base)) | dict(_pixels()) | dict(_animations(base))


def _forms() -> Iterator[tuple[str, bytes]]:
    for depth in (0, 1, 2, 3, 4, 8, 16, 32):
        for colour in (*CHANNELS, 1, 7):
            yield f"PNG, depth {depth}, colour {colour}", drawn(40, depth=depth, colour=colour)
    for colour in CHANNELS:
        yield f"PNG, interlaced, colour {colour}", drawn(colour=colour, interlaced=True)
        yield f"PNG, all filters, colour {colour}", drawn(colour=colour, filters=5)
        yield f"PNG, filters beyond, colour {colour}", drawn(colour=colour, filters=9)
        yield f"PNG, interlaced 16 bits, colour {colour}", drawn(depth=16, colour=colour, interlaced=True)
    for rest in ((1, 0, 0), (0, 1, 0), (0, 0, 2), (255, 255, 255)):
        yield f"PNG, header ends {rest}", file(header(8, 8, rest=rest), chunk(b"IDAT", zeros(72)))
    for palette in (b"", b"\0", bytes(3), bytes(4), bytes(900)):
        head = header(64, 64, colour=3)
        pixels = chunk(b"IDAT", zlib.compress(bytes([0, *range(64)]) * 64))
        yield f"PNG, palette of {len(palette)} bytes", file(head, chunk(b"PLTE", palette), pixels)
        yield (
            f"PNG, transparency of {len(palette)} bytes",
            file(head, chunk(b"PLTE", GREY), chunk(b"tRNS", palette), pixels),
        )


def _sizes() -> Iterator[tuple[str, bytes]]:
    sides = (0, 1, 32, 5_000, 5_001, 2**31 - 1, 2**32 - 1)
    for width in sides:
        for height in (0, 1, 5_000, 2**31 - 1, 2**32 - 1):
            yield (
                f"PNG, {width} x {height} by its header",
                file(header(width, height), chunk(b"IDAT", zeros(1000))),
            )
    yield "PNG, 25 megapixels", file(header(5000, 5000), chunk(b"IDAT", zeros(5000 * 5001)))
    yield (
        "PNG, 25 megapixels of 16-bit RGBA",
        file(header(5000, 5000, depth=16, colour=6), chunk(b"IDAT", zeros(5000 * 40_001))),
    )
    yield "PNG, 25 megapixels in a row", file(header(25_000_000, 1), chunk(b"IDAT", zeros(25_000_001)))
    yield "PNG, 25 megapixels in a column", file(header(1, 25_000_000), chunk(b"IDAT", zeros(50_000_000)))


def _floods(base: bytes) -> Iterator[tuple[str, bytes]]:
    for name in ("tEXt", "iTXt", "prVt", "IDAT", "fcTL", "PLTE", "IHDR"):
        yield f"PNG, 100,000 empty {name}", between(base, chunk(name.encode(), b"") * 100_000)
    bomb = zeros(32 * 2**20)
    yield "PNG, 32 MB of text", between(base, chunk(b"zTXt", b"k\0\0" + bomb))
    yield "PNG, 32 MB of profile", between(base, chunk(b"iCCP", b"k\0\0" + bomb))
    yield "PNG, 32 MB of international text", between(base, chunk(b"iTXt", b"k\0\1\0\0\0" + bomb))
    yield "PNG, many texts", between(base, *(chunk(b"zTXt", b"k%d\0\0" % n + zeros(9**6)) for n in range(99)))
    yield "PNG, pixels a thousand times too many", file(header(64, 64), chunk(b"IDAT", bomb))
    yield (
        "PNG, EXIF that points into itself",
        between(base, chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\xff" + b"\x87\x69\0\x04\0\0\0\x01\0\0\0\x08" * 255)),
    )


def _pixels() -> Iterator[tuple[str, bytes]]:
    head, pixels = header(64, 64), zlib.compress(bytes([0, *range(64)]) * 64)
    single: Iterable[bytes] = (chunk(b"IDAT", bytes([byte])) for byte in pixels)
    yield "PNG, pixels byte by byte", file(head, *single)
    yield "PNG, no pixels", file(head)
    yield "PNG, no end", MAGIC + head + chunk(b"IDAT", pixels)
    yield "PNG, nothing but its magic", MAGIC
    yield "PNG, wrong Adler checksum", file(head, chunk(b"IDAT", pixels[:-1] + b"\0"))
    yield "PNG, raw pixels", file(head, chunk(b"IDAT", bytes(64 * 65)))
    yield "PNG, gzip", file(head, chunk(b"IDAT", b"\x1f\x8b" + pixels))
    yield "PNG, preset dictionary", file(head, chunk(b"IDAT", b"\x78\xbb\0\0\0\1" + pixels[2:]))
    yield (
        "PNG, a chunk between pixels",
        file(head, chunk(b"IDAT", pixels[:40]), chunk(b"tEXt", b"k\0v"), chunk(b"IDAT", pixels[40:])),
    )
    yield "PNG, another behind it", drawn() + drawn()
    yield "PNG, a megabyte behind it", drawn() + bytes(2**20)
    yield "PNG, chunk of no letters", between(drawn(), chunk(b"\0\xff<>", b"x"))
    yield "PNG, unknown critical chunk", between(drawn(), chunk(b"CRIT", b"x"))


def _animations(base: bytes) -> Iterator[tuple[str, bytes]]:
    def frame(number: int, *, width: int = 96, height: int = 96, x: int = 0, y: int = 0) -> bytes:
        return chunk(b"fcTL", struct.pack(">5IHHBB", number, width, height, x, y, 1, 1, 0, 0))

    for count in (0, 1, 2, 2**31 - 1, 2**32 - 1):
        yield f"PNG, animated, {count} frames", between(base, chunk(b"acTL", struct.pack(">II", count, 0)))
    two = chunk(b"acTL", struct.pack(">II", 2, 0))
    yield "PNG, animated, frames too large", between(base, two, frame(0, width=2**31 - 1, height=2**31 - 1))
    yield "PNG, animated, frames outside", between(base, two, frame(0, x=2**31, y=2**31))
    yield "PNG, animated, frames of no size", between(base, two, frame(0, width=0, height=0))
    yield "PNG, animated, small first frame", between(base, two, frame(0, width=9, height=9))
    yield "PNG, animated, wrong order", between(base, two, frame(7), frame(3))
    yield "PNG, animated, pixels before frames", between(base, two, chunk(b"fdAT", bytes(9)), frame(0))

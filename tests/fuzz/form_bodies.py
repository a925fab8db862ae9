"""Multipart bodies as no browser writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

from tests.fuzz import images

HEADER_CHARACTERS = st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")
BOUNDARIES = st.one_of(
    st.sampled_from(["----d74496d66958873e", "--", "a b", "'", "b" * 70, "b" * 5000, "\xe9", ""]),
    st.text(HEADER_CHARACTERS, max_size=20),
)
NAMES = st.one_of(
    st.sampled_from(["Image", "", "image\0", '"', "im\\age", "ima\r\nge", " image"]), st.text(max_size=10)
)
FILE_NAMES = st.one_of(
    st.sampled_from(["../../etc/passwd", "a\r\nX-Evil: 1", "\0", '"; name="x', "n" * 100_000]),
    st.text(max_size=30),
)
HEADERS = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Length: 999999\r\n",
        b"Content-Disposition: attachment\r\n",
        b": nameless\r\n",
        b"folded: a\r\n b\r\n",
        b"\xff\xfe\0: \x80\r\n",
        b"X: " + b"x" * 100_000 + b"\r\n",
        b"X: y\r\n" * 20_000,
    ]
)
DISPOSITIONS = st.sampled_from(
    [
        "form-data; name={name}",
        'form-data; filename="{file_name}"; name="{name}"',
        "form-data; name*=utf-8''{name}",
        "form-data; name*0*=x'y; name*=bad''%ff%zz",
        'form-data; name="{name}"; name="other"',
        'attachment; name="{name}"',
        "{name}",
    ]
)
CONTENT_TYPES = st.sampled_from(
    [
        'Multipart/Form-Data ; charset=x; Boundary="{boundary}"; boundary=other',
        "multipart/form-data; boundary*=nonsense'{boundary}",
        "multipart/form-data; boundary*0*=x'y; boundary*={boundary}",
        "multipart/form-data; boundary",
        "multipart/form-data",
    ]
)
LINE_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n\r\n", b" \r\n"])
CONTENTS = st.sampled_from([data for data in images.whole().values() if len(data) < 50_000])

Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Form:
    """A body, and the Content-Type that it is sent with."""

    content_type: str
    body: bytes


@st.composite
def odd(draw: st.DrawFn) -> Form:
    """Make a form whose pieces are mostly valid, so that every part of a parser is reached."""
    boundary = _mostly(draw, "b", BOUNDARIES)
    content_type = _mostly(draw, 'multipart/form-data; boundary="{boundary}"', CONTENT_TYPES)
    line = _mostly(draw, b"\r\n", LINE_ENDS)
    delimiter = b"--" + boundary.encode("latin-1", "replace")
    body = _mostly(draw, b"", st.sampled_from([b"a preamble\r\n", b"\r\n", b"x" * 50_000]))
    for _ in range(_mostly(draw, 1, st.sampled_from([0, 2, 3, 50, 101]))):
        body += delimiter + _mostly(draw, b"", st.sampled_from([b" \t", b"-"])) + line + draw(_part()) + line
    body += _mostly(
        draw, delimiter + b"--\r\n", st.sampled_from([delimiter + b"--", delimiter, b"", delimiter * 999])
    )
    body = body[: _mostly(draw, len(body), st.integers(0, len(body)))]
    return Form(content_type.format(boundary=boundary).strip(), body)


@st.composite
def _part(draw: st.DrawFn) -> bytes:
    template = _mostly(draw, 'form-data; name="{name}"; filename="{file_name}"', DISPOSITIONS)
    name, file_name = _mostly(draw, "image", NAMES), _mostly(draw, "scan.jpg", FILE_NAMES)
    line = _mostly(draw, b"\r\n", LINE_ENDS)
    disposition = template.format(name=name, file_name=file_name).encode("utf-8", "replace")
    headers = _mostly(draw, b"Content-Type: image/jpeg\r\n", HEADERS)
    content = _mostly(draw, draw(CONTENTS), st.binary(max_size=100))
    return b"Content-Disposition: " + disposition + line + headers + line + content


def _mostly(draw: st.DrawFn, usual: Piece, odd: st.SearchStrategy[Piece]) -> Piece:
    return draw(odd) if draw(st.integers(0, 7)) == 7 else usual

"""Multipart forms are parsed byte for byte, and a broken one is a 400 with its reason."""

from __future__ import annotations

import os

import pytest

from infra.lambdas.gateway.form import part
from infra.lambdas.gateway.problems import Problem
from tests.gateway.events import BOUNDARY, form, form_type

PUNCTUATION = "gc0p4Jq0M2Yt08j34c0p: '()+_,-./=?"
NAMES = b'name="image"; filename="scan.jpg"'
NAME_IN_A_FILE_NAME = rb'name="note"; filename="a\"; name=\"image\".jpg"'
CONTENTS = {
    "utf-16 mark, zero, delimiter's start": b"\xff\xfe\x00\r\n--",
    "another form's delimiter": b"\r\n--other\r\n\r\n",
    "delimiter cut short": b"\r\n--" + BOUNDARY[:-1].encode(),
    "delimiter within a line": b"x--" + BOUNDARY.encode(),
    "line breaks at the end": b"abc\r\n\r\n",
    "line break at the start": b"\r\n\r\nabc",
    "lone breaks": b"\r\n\n\r\x0b\x0c\x1c\x85",
    "every byte": bytes(range(256)),
    "random": os.urandom(3_000),
    "empty": b"",
}


def parse(body: bytes, content_type: str = form_type()["content-type"]) -> bytes:
    return part(body, content_type=content_type, name="image")


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_content_comes_out_byte_for_byte(content: bytes) -> None:
    assert parse(form(("image", content))) == content
    assert parse(form(("note", b"first"), ("image", content), ("other", b"last"))) == content


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (f'multipart/form-data; boundary="{BOUNDARY}"', BOUNDARY),
        (f"multipart/form-data;boundary={BOUNDARY}; charset=utf-8", BOUNDARY),
        (f"Multipart/Form-Data; Boundary={BOUNDARY}", BOUNDARY),
        (f'multipart/form-data; boundary="{PUNCTUATION}"', PUNCTUATION),
    ],
)
def test_boundary_is_read_quoted_or_not(content_type: str, boundary: str) -> None:
    assert parse(form(("image", b"content"), boundary=boundary), content_type) == b"content"


def test_preamble_padding_and_epilogue_are_ignored() -> None:
    body = form(("image", b"content")).replace(f"{BOUNDARY}\r\n".encode(), f"{BOUNDARY} \t\r\n".encode(), 1)
    assert parse(b"A preamble.\r\n" + body + b"An epilogue.\r\n--" + BOUNDARY.encode()) == b"content"


def test_the_name_may_be_unquoted_and_after_the_file_name() -> None:
    body = form(("image", b"content")).replace(NAMES, 'filename="Aufnahme größer.jpg"; name=image'.encode())
    assert parse(body) == b"content"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (form(("picture", b"content")), '0 parts named "image"'),
        (form(), '0 parts named "image"'),
        (form(("image", b"one"), ("image", b"two")), '2 parts named "image"'),
        (form(("image", b"x")).replace(NAMES, NAME_IN_A_FILE_NAME), '0 parts named "image"'),
        (form(("image", b"content"), closed=False), "cut short"),
        (form(("image", b"content"))[:-30], "cut short"),
        (b"no form at all", "cut short"),
        (f"--{BOUNDARY}\r\nno end of headers\r\n--{BOUNDARY}--".encode(), '0 parts named "image"'),
        (form(('image"; name*0*=x\'y; name*="z', b"content")), '0 parts named "image"'),
        (form(*[("other", b"")] * 101, ("image", b"content")), "more than 100 parts"),
        (form(("image" + ";" * 9_000, b"content")), "more than 8,192 bytes of headers"),
        (form(("image", b"content")).replace(b"form-data;", b"form-data;" + b"a=b;" * 10**6), "of headers"),
    ],
)
def test_a_broken_form_is_a_400_with_its_reason(body: bytes, detail: str) -> None:
    with pytest.raises(Problem, match=detail) as raised:
        parse(body)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "parameters", ["", '; boundary=""', "; boundary*0*=x'y; boundary*=z"], ids=["none", "empty", "continued"]
)
def test_missing_boundary_is_a_400(parameters: str) -> None:
    with pytest.raises(Problem, match="boundary") as raised:
        parse(form(("image", b"content")), f"multipart/form-data{parameters}")
    assert raised.value.status == 400

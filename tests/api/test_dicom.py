"""What the published client sends of a DICOM file: what the container reads, and nothing else."""

from __future__ import annotations

import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import dcmread, uid

from container import imaging
from scripts import client as module
from scripts.client import Client, ClientError, without_header
from tests.api.fake_gateway import problem
from tests.dicom_files import MARKER, SYNTAXES, assert_stripped, bits_of, broken, dicom, planted

if TYPE_CHECKING:
    from tests.api.fake_gateway import FakeGateway

GREY = np.arange(64 * 48).reshape(64, 48) % 251


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: uid.UID(syntax).keyword)
def test_no_word_of_a_header_is_sent(
    client: Client,
    gateway: FakeGateway,
    syntax: str,
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    # Given a file that names the patient wherever a file can
    data = planted(dicom(GREY, bits=bits_of(syntax), syntax=syntax), padding=True)
    assert data.count(MARKER.encode()) > 2000
    # When it is classified
    client.predict(data)
    # Then what was sent does not, and nothing was written about it
    (call,) = gateway.images
    assert_stripped(call.body, data)
    assert not [record for record in caplog.records if MARKER in record.getMessage()]
    assert not [warning for warning in recwarn if MARKER in str(warning.message)]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: uid.UID(syntax).keyword)
def test_the_container_sees_the_same_image(syntax: str, photometric: str) -> None:
    tags: dict[str, Any] = {"RescaleSlope": "-2.5", "PixelPaddingValue": 7, "photometric": photometric}
    plain = dicom(GREY, syntax=syntax, bits=bits_of(syntax), PresentationLUTShape="IDENTITY", **tags)
    for data in (plain, planted(dicom(GREY, RescaleSlope="-2.5"))):  # which adds a table of grey levels
        stripped, _ = without_header(data)
        assert len(stripped) < len(data)
        assert imaging.read(stripped).tobytes() == imaging.read(data).tobytes()


def test_without_pydicom_no_header_is_sent(
    client: Client, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    data = dicom(GREY)
    with pytest.raises(ClientError, match=r"pip install pydicom.*keep_header=True"):
        client.predict(data)
    assert not gateway.images
    client.predict(data, keep_header=True)
    client.predict(b"no DICOM")
    assert [call.body for call in gateway.images] == [data, b"no DICOM"]


FILE = dicom(GREY, PatientName=MARKER, RescaleSlope="1234567")
BROKEN = broken(FILE) | {
    "a fragment without end": (dicom(GREY, syntax=uid.RLELossless, PatientName=MARKER)[:-900], 400),
    "an unknown transfer syntax": (FILE.replace(b"10008.1.2.1\x00", b"10008.9.9.9\x00"), 400),
    "a text for a number": (FILE.replace(b"1234567", MARKER[:7].encode()), 400),
}
SAYS = {400: "not sent: it is broken, or of an unknown kind", 415: "is deflated|without a file's preamble"}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_stripped_is_not_sent(client: Client, gateway: FakeGateway, name: str) -> None:
    data, status = BROKEN[name]
    with pytest.raises(ClientError, match=SAYS[status]) as raised:
        client.predict(data)
    assert MARKER[:7] not in str(raised.value)
    assert not gateway.images


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless])
def test_of_a_file_that_is_too_large_only_the_frame_is_sent(
    client: Client, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    monkeypatch.setattr(module, "MAX_IMAGE_BYTES", 20_000)
    frames = np.stack([np.roll(GREY, 5 * shift, axis=1) for shift in range(20)])
    data = dicom(frames, syntax=syntax)
    client.predict(data, frame=7)
    (call,) = gateway.images
    assert len(call.body) < 20_000
    assert call.target == "/stage/predict?heatmap=false"
    assert imaging.read(call.body).tobytes() == imaging.read(data, frame=7).tobytes()


def test_a_file_that_stays_too_large_is_not_sent(
    client: Client, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_IMAGE_BYTES", 5_000)
    gateway.default = problem(404)  # it answers at once only
    for keep_header in (False, True):
        with pytest.raises(ClientError, match=r"The image has 6,\d+ bytes; the limit is 5,000\."):
            client.predict(dicom(GREY), keep_header=keep_header)
    assert {(call.target.partition("?")[0], call.body) for call in gateway.images} == {
        ("/stage/predictions", b"")
    }


def test_a_file_of_several_frames_is_sent_whole_where_it_can_be(client: Client, gateway: FakeGateway) -> None:
    data = dicom(np.stack([GREY, GREY + 1]))
    client.predict(data, frame=2)
    (call,) = gateway.images
    assert call.target == "/stage/predict?heatmap=false&frame=2"
    assert dcmread(BytesIO(call.body)).PixelData == dcmread(BytesIO(data)).PixelData

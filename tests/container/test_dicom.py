"""DICOM files: the same picture gives the same input in any form, and no header text leaves the decoder."""

from __future__ import annotations

import os
import resource
import signal
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.sequence import Sequence

from container import dicom as decoder
from container import imaging, isolation
from container.problem import MAX_IMAGE_BYTES, Problem
from tests import dicom_files
from tests.container import samples
from tests.dicom_files import dicom, without

if TYPE_CHECKING:
    from collections.abc import Callable

SCAN = samples.scan()
FILE = dicom(SCAN)
SIZE = 64


def refusal(data: bytes, frame: int | None = None) -> Problem:
    with pytest.raises(Problem) as caught:
        isolation.read(data, frame=frame)
    return caught.value


def network_input(data: bytes, frame: int | None = None) -> np.ndarray:
    return imaging.preprocess(imaging.grey(isolation.read(data, frame=frame)), size=SIZE)


@pytest.mark.parametrize("syntax", dicom_files.SYNTAXES)
def test_every_form_gives_the_input_of_the_same_png(syntax: str) -> None:
    expected = imaging.preprocess(SCAN, size=SIZE)
    for form in [form for form in dicom_files.FORMS if form[0] == syntax]:
        _, photometric, bits, signed = form
        data = dicom(SCAN, syntax=syntax, photometric=photometric, bits=bits, signed=signed)
        difference = np.abs(network_input(data) - expected)
        assert difference.mean() <= (0.01 if syntax == uid.JPEGBaseline8Bit else 0), form  # it is lossy


def test_rescaling_lookup_table_and_inversion_are_applied() -> None:
    plain, inverse = network_input(FILE), network_input(dicom(SCAN, photometric="MONOCHROME1"))
    assert np.abs(inverse - plain).mean() < 0.01
    negative = dicom(255 - np.asarray(SCAN), RescaleSlope="-2", RescaleIntercept="900")
    assert np.abs(network_input(negative) - plain).mean() < 0.01
    shape = dicom(255 - np.asarray(SCAN), PresentationLUTShape="INVERSE")
    assert np.abs(network_input(shape) - plain).mean() < 0.01
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [256, 0, 16], "US"
    table.LUTData = np.arange(256, dtype=np.uint16)[::-1].tobytes()
    table["LUTData"].VR = "OW"
    by_table = dicom(255 - np.asarray(SCAN), bits=8, ModalityLUTSequence=Sequence([table]))
    assert np.abs(network_input(by_table) - plain).mean() < 0.01
    both = without(by_table, RescaleSlope="-1", RescaleIntercept="0")  # the table takes its place
    assert np.array_equal(network_input(both), network_input(by_table))
    empty = dicom(SCAN, ModalityLUTSequence=Sequence(), RescaleSlope="2", RescaleIntercept="0")
    assert np.array_equal(network_input(empty), plain)


def test_padding_is_black_and_outliers_do_not_darken_the_image() -> None:
    stored = np.asarray(SCAN).astype(int)
    # 0.05 % of the pixels are artefacts
    bright = stored.copy()
    bright.flat[::2000] = 255 * 20
    assert np.abs(network_input(dicom(bright, bits=16)) - network_input(FILE)).mean() < 0.02
    # Padding far from all that was measured, as many scanners write it
    dataset = pydicom.dcmread(BytesIO(dicom(SCAN, bits=16, PixelPaddingValue=65535)))
    values = dataset.pixel_array.copy()
    values[stored == 0] = 65535
    dataset.PixelData = values.tobytes()
    file = BytesIO()
    dataset.save_as(file)
    assert np.abs(network_input(file.getvalue()) - network_input(FILE)).mean() < 0.02


def padded(data: bytes, stored: np.ndarray, value: int, written_as: int) -> bytes:
    """Write a scan, with that value where it is black."""
    dataset = pydicom.dcmread(BytesIO(data))
    dataset.PixelData = np.where(np.asarray(SCAN) == 0, value, stored).astype("<u2").tobytes()
    dataset.add_new("PixelPaddingValue", "US", written_as)
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def test_padding_is_black_in_every_form() -> None:
    stored = np.asarray(SCAN).astype(int) * 8 - 1000  # no signal is not 0, as in the negative below
    without_sign = padded(dicom(SCAN, bits=16, signed=True), stored, -2000, 63536)
    negative = padded(dicom(SCAN, bits=16, photometric="MONOCHROME1"), 3000 - stored, 0, 0)
    assert np.array_equal(network_input(without_sign), network_input(negative))


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless])
def test_frames_are_found_without_a_basic_offset_table(syntax: str) -> None:
    data = dicom(np.stack([np.asarray(SCAN), np.asarray(SCAN)[::-1]]), syntax=syntax)
    encoded = list(generate_frames(pydicom.dcmread(BytesIO(data)).PixelData, number_of_frames=2))
    in_parts = without(data, PixelData=encapsulate(encoded, fragments_per_frame=2, has_bot=False))
    pixels, starts, lengths = encapsulate_extended(encoded)
    tabled = without(data, PixelData=pixels, ExtendedOffsetTable=starts, ExtendedOffsetTableLengths=lengths)
    for changed in (in_parts, tabled):
        for number in (1, 2):
            assert np.array_equal(network_input(changed, number), network_input(data, number))
    cut = without(dicom(SCAN, syntax=syntax), PixelData=encapsulate([encoded[0][:-900]]))
    assert refusal(cut).status == 400


def test_a_frame_is_chosen_by_its_number() -> None:
    frames = np.stack([np.asarray(SCAN), np.asarray(SCAN)[::-1], np.asarray(SCAN)[:, ::-1]])
    for syntax in (uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless):
        data = dicom(frames, syntax=syntax)
        for number, frame in enumerate(frames, start=1):
            expected = imaging.preprocess(Image.fromarray(frame), size=SIZE)
            assert np.array_equal(network_input(data, number), expected)
        assert refusal(data).status == refusal(data, 4).status == 422
        assert "3 frames: choose one with ?frame=N, from 1 to 3" in refusal(data).detail
    assert refusal(FILE, 2).status == refusal(samples.png(SCAN), 2).status == 422
    assert np.array_equal(network_input(samples.png(SCAN), 1), imaging.preprocess(SCAN, size=SIZE))


def deflated() -> bytes:
    return dicom(SCAN, syntax=uid.DeflatedExplicitVRLittleEndian)


def nested(depth: int) -> bytes:
    """Nest sequences of undefined length, which a recursive reader follows."""
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * depth
    at = FILE.index(b"\x08\x00\x60\x00CS")
    return FILE[:at] + opened + FILE[at:]


def with_pixels(pixels: bytes, syntax: str) -> bytes:
    dataset = pydicom.dcmread(BytesIO(FILE))
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    dataset.PixelData = encapsulate([pixels]) if pixels else b"\xfe\xff\x00\xe0\0\0\0\0"
    dataset["PixelData"].is_undefined_length = True
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


J2K = samples.encoded(SCAN, "JPEG2000", no_jp2=True)
HUGE_J2K = J2K.replace(J2K[8:16], b"\0\1\0\0\0\1\0\0", 1)
REFUSED: dict[str, tuple[Callable[[], bytes], int]] = {
    "CT": (lambda: without(FILE, Modality="CT"), 422),
    "ultrasound": (lambda: without(FILE, Modality="US"), 422),
    "burned-in text": (lambda: dicom(SCAN, BurnedInAnnotation="YES"), 422),
    "no pixels": (lambda: without(FILE, "PixelData"), 422),
    "colours": (lambda: without(FILE, PhotometricInterpretation="PALETTE COLOR"), 422),
    "RGB": (lambda: without(FILE, PhotometricInterpretation="RGB", SamplesPerPixel=3), 422),
    "1 bit": (lambda: without(FILE, BitsAllocated=1, BitsStored=1), 422),
    "32 bits": (lambda: without(FILE, BitsAllocated=32, BitsStored=32), 422),
    "a constant": (lambda: dicom(np.full((64, 64), 90)), 200),
    "deflated": (deflated, 415),
    "MPEG": (lambda: with_pixels(b"\0\0", "1.2.840.10008.1.2.4.102"), 415),
    "no preamble": (lambda: FILE[132 + 12 + int.from_bytes(FILE[140:144], "little") :], 415),
    "rows beyond the data": (lambda: without(FILE, Rows=1000), 400),
    "values in the highest bits": (lambda: without(FILE, HighBit=15), 422),
    "no rows": (lambda: without(FILE, "Rows"), 400),
    "rows of 0": (lambda: without(FILE, Rows=0), 400),
    "bits stored of 40": (lambda: without(FILE, BitsStored=40), 400),
    "a billion frames": (lambda: without(FILE, NumberOfFrames=10**9), 413),
    "25 megapixels": (lambda: without(FILE, Rows=65535, Columns=65535), 413),
    "sequences in sequences": (lambda: nested(3000), 400),
    "a sequence without end": (lambda: nested(1), 400),
    "no transfer syntax": (lambda: FILE.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x11\x00UI"), 400),
    "a fragment that is no JPEG 2000": (lambda: with_pixels(bytes(500), uid.JPEG2000Lossless), 400),
    "a fragment that is no JPEG": (lambda: with_pixels(bytes(500), uid.JPEGLosslessSV1), 400),
    "no fragments": (lambda: with_pixels(b"", uid.JPEGLosslessSV1), 400),
    "the wrong transfer syntax": (lambda: with_pixels(J2K, uid.JPEGLSLossless), 400),
    "JPEG 2000 of 65,536 pixels a side": (lambda: with_pixels(HUGE_J2K, uid.JPEG2000Lossless), 400),
    "a PDF": (lambda: bytes(128) + b"DICM%PDF-1.7 " + bytes(2000), 400),
    "nothing behind the preamble": (lambda: bytes(128) + b"DICM", 400),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_is_sliceis_refused_within_a_second(kind: str) -> None:
    make, status = REFUSED[kind]
    data = make()
    if status == 200:  # decodes, and the rules refuse it
        assert isolation.read(data).getextrema() == (0, 0)
        return
    began = time.perf_counter()
    problem = refusal(data)
    assert problem.status == status, problem.detail
    assert time.perf_counter() - began < 2 * isolation.HEADER_S
    assert problem.detail.endswith(".")


def test_a_file_truncated_anywhere_is_a_bad_request() -> None:
    for syntax in (uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless, uid.JPEGLosslessSV1):
        data = dicom(samples.scan(300, 220), syntax=syntax)
        for kept in range(200, len(data) - 200, 5000):
            assert refusal(data[:kept]).status in (400, 422), (syntax, kept)


def test_a_decoder_that_crashes_hangs_or_takes_all_memory_costs_one_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for fault in (lambda *_: os.kill(os.getpid(), signal.SIGSEGV), lambda *_: bytearray(2**32)):
        monkeypatch.setattr(decoder, "_decode", fault)
        assert refusal(FILE).status == 400
    monkeypatch.setattr(decoder, "_decode", lambda *_: time.sleep(60))
    began = time.perf_counter()
    assert refusal(FILE).status == 400
    assert time.perf_counter() - began < 3 * isolation.HEADER_S


def test_a_busy_machine_and_a_failed_fork_do_not_blame_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(header: decoder.Header) -> np.ndarray:
        time.sleep(1.4 * isolation.HEADER_S)
        dumps = resource.getrlimit(resource.RLIMIT_CORE) != (0, 0)
        return np.full((header.rows, header.columns), dumps, dtype=np.uint8)

    monkeypatch.setattr(decoder, "_decode", waits)
    assert isolation.read(FILE).getextrema() == (0, 0)
    monkeypatch.setattr(os, "fork", lambda: os.open("/nowhere", os.O_RDONLY))
    files = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError, match="nowhere"):
        isolation.read(FILE)
    assert set(Path("/proc/self/fd").iterdir()) == files


def test_the_largest_image_is_decoded() -> None:
    side = 5000
    grey = np.asarray(SCAN.resize((side, side)))
    data = dicom(grey, syntax=uid.JPEG2000Lossless, bits=8)
    assert len(data) <= MAX_IMAGE_BYTES
    assert isolation.read(data).size == (side, side)


MARKER = "ZQXMARKER"


def test_no_text_of_a_header_is_in_a_refusal() -> None:
    marked = {"PatientName": MARKER, "Modality": MARKER, "StudyDescription": MARKER}
    for changed in (marked, marked | {"Modality": "MR", "PhotometricInterpretation": MARKER},
                    marked | {"Modality": "MR", "BitsAllocated": 7}):  # fmt: skip
        assert MARKER not in refusal(without(FILE, **changed)).detail


def corpus() -> list[Path]:
    """Return the DICOM files in the wheels of pydicom and nibabel."""
    found = [*Path(pydicom.__file__).parent.glob("data/test_files/**/*")]
    found += Path(nibabel.__file__).parent.glob("**/*.dcm")
    return sorted(path for path in found if path.is_file() and path.stat().st_size <= MAX_IMAGE_BYTES)


BROKEN = {"MR_truncated.dcm", "meta_missing_tsyntax.dcm", "nested_priv_SQ.dcm"}


def test_every_file_of_the_wheels_gets_the_right_answer_or_refusal() -> None:
    answered = 0
    for path in corpus():
        data = path.read_bytes()
        if not imaging.is_dicom(data):
            continue
        dataset = pydicom.dcmread(path)
        is_slice = (
            dataset.get("Modality", "MR") == "MR"
            and dataset.get("SamplesPerPixel") == 1
            and "PixelData" in dataset
        )
        is_deflated = dataset.file_meta.get("TransferSyntaxUID") == uid.DeflatedExplicitVRLittleEndian
        if path.name in BROKEN or is_deflated or not is_slice:
            assert refusal(data).status == (400 if path.name in BROKEN else 415 if is_deflated else 422), path
            continue
        image = isolation.read(data)
        answered += 1
        assert image.size == (dataset.Columns, dataset.Rows), path
        values = dataset.pixel_array.astype(float).ravel()
        if image.getextrema() != (0, 0):
            assert np.corrcoef(values, np.asarray(image).ravel())[0, 1] > 0.9, path
    assert answered >= 30


@pytest.mark.parametrize("name", ["JPEG-lossy", "JPGExtended", "JPEG2000", "693_J2KI"])
def test_other_transfer_syntaxes_of_the_wheels_decode_as_others_decode_them(name: str) -> None:
    path = Path(pydicom.__file__).parent / "data/test_files" / f"{name}.dcm"
    data = without(path.read_bytes(), Modality="MR")
    image = np.asarray(isolation.read(data))
    if name in ("JPEG-lossy", "JPGExtended"):  # 12 bits, which nothing else here reads
        expected = pydicom.dcmread(path.with_name("JPEG2000.dcm")).pixel_array
    else:
        expected = pydicom.dcmread(path).pixel_array
    assert np.corrcoef(image.ravel().astype(float), expected.ravel().astype(float))[0, 1] > 0.9

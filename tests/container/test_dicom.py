"""DICOM files: the same picture gives the same input in any form, and no header text leaves the decoder."""

from __future__ import annotations

import os
import resource
import signal
import time
from io import BytesIO
from pathlib import Path

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
from tests.dicom_files import MARKER, broken, dicom, without, written

SCAN = samples.scan()
FILE = dicom(SCAN, PatientName=MARKER, StudyDescription=MARKER)
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
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [256, 0, 16], "US"
    table.LUTData = np.arange(256, dtype=np.uint16)[::-1].tobytes()
    table["LUTData"].VR = "OW"
    negative = 255 - np.asarray(SCAN)
    for same in (
        dicom(SCAN, photometric="MONOCHROME1"),
        dicom(negative, RescaleSlope="-2", RescaleIntercept="900"),
        dicom(negative, PresentationLUTShape="INVERSE"),
        dicom(negative, bits=8, ModalityLUTSequence=Sequence([table])),
    ):
        assert np.abs(network_input(same) - network_input(FILE)).mean() < 0.01
    by_table = dicom(negative, bits=8, ModalityLUTSequence=Sequence([table]))
    both = without(by_table, RescaleSlope="-1", RescaleIntercept="0")  # the table takes its place
    assert np.array_equal(network_input(both), network_input(by_table))
    empty = dicom(SCAN, ModalityLUTSequence=Sequence(), RescaleSlope="2", RescaleIntercept="0")
    assert np.array_equal(network_input(empty), network_input(FILE))


def test_outliers_do_not_darken_the_image() -> None:
    bright = np.asarray(SCAN).astype(int)
    bright.flat[::2000] = 255 * 20  # 0.05 % of the pixels are artefacts
    assert np.abs(network_input(dicom(bright, bits=16)) - network_input(FILE)).mean() < 0.02


def padded(data: bytes, stored: np.ndarray, value: int, written_as: int) -> bytes:
    """Write a scan, with that value where it is black."""
    dataset = pydicom.dcmread(BytesIO(data))
    dataset.PixelData = np.where(np.asarray(SCAN) == 0, value, stored).astype("<u2").tobytes()
    dataset.add_new("PixelPaddingValue", "US", written_as)
    return written(dataset, uid.ExplicitVRLittleEndian)


def test_padding_is_black_in_every_form() -> None:
    stored = np.asarray(SCAN).astype(int) * 8 - 1000  # no signal is not 0, as in the negative below
    without_sign = padded(dicom(SCAN, bits=16, signed=True), stored, -2000, 63536)
    negative = padded(dicom(SCAN, bits=16, photometric="MONOCHROME1"), 3000 - stored, 0, 0)
    assert np.array_equal(network_input(without_sign), network_input(negative))
    # And far from all that was measured, as many scanners write it
    far = padded(dicom(SCAN, bits=16), stored + 1000, 65535, 65535)
    assert np.abs(network_input(far) - network_input(FILE)).mean() < 0.02


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


def with_pixels(pixels: bytes, syntax: str) -> bytes:
    dataset = pydicom.dcmread(BytesIO(FILE))
    dataset.PixelData = encapsulate([pixels]) if pixels else b"\xfe\xff\x00\xe0\0\0\0\0"
    dataset["PixelData"].is_undefined_length = True
    return written(dataset, syntax)


J2K = samples.encoded(SCAN, "JPEG2000", no_jp2=True)
HUGE_J2K = J2K.replace(J2K[8:16], b"\0\1\0\0\0\1\0\0", 1)
REFUSED = broken(FILE) | {
    "CT": (without(FILE, Modality="CT"), 422),
    "an unknown modality": (without(FILE, Modality=MARKER), 422),
    "burned-in text": (dicom(SCAN, BurnedInAnnotation="YES"), 422),
    "no pixels": (without(FILE, "PixelData"), 422),
    "no grey": (without(FILE, PhotometricInterpretation=MARKER), 422),
    "RGB": (without(FILE, PhotometricInterpretation="RGB", SamplesPerPixel=3), 422),
    "1 bit": (without(FILE, BitsAllocated=1, BitsStored=1), 422),
    "32 bits": (without(FILE, BitsAllocated=32, BitsStored=32), 422),
    "MPEG": (with_pixels(b"\0\0", "1.2.840.10008.1.2.4.102"), 415),
    "rows beyond the data": (without(FILE, Rows=1000), 400),
    "values in the highest bits": (without(FILE, HighBit=15), 422),
    "no rows": (without(FILE, "Rows"), 400),
    "rows of 0": (without(FILE, Rows=0), 400),
    "bits stored of 40": (without(FILE, BitsStored=40), 400),
    "a billion frames": (without(FILE, NumberOfFrames=10**9), 413),
    "25 megapixels": (without(FILE, Rows=65535, Columns=65535), 413),
    "a fragment that is no JPEG 2000": (with_pixels(bytes(500), uid.JPEG2000Lossless), 400),
    "a fragment that is no JPEG": (with_pixels(bytes(500), uid.JPEGLosslessSV1), 400),
    "no fragments": (with_pixels(b"", uid.JPEGLosslessSV1), 400),
    "the wrong transfer syntax": (with_pixels(J2K, uid.JPEGLSLossless), 400),
    "JPEG 2000 of 65,536 pixels a side": (with_pixels(HUGE_J2K, uid.JPEG2000Lossless), 400),
    "a PDF": (bytes(128) + b"DICM%PDF-1.7 " + bytes(2000), 400),
    "nothing behind the preamble": (bytes(128) + b"DICM", 400),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_slice_is_refused_within_a_second(kind: str) -> None:
    data, status = REFUSED[kind]
    began = time.perf_counter()
    problem = refusal(data)
    assert problem.status == status, problem.detail
    assert time.perf_counter() - began < 2 * isolation.HEADER_S
    assert problem.detail.endswith(".")
    assert MARKER not in problem.detail


def test_a_constant_image_is_black() -> None:
    assert isolation.read(dicom(np.full((64, 64), 90))).getextrema() == (0, 0)


def test_a_file_truncated_anywhere_is_a_bad_request() -> None:
    for syntax in (uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless, uid.JPEGLosslessSV1):
        data = dicom(samples.scan(300, 220), syntax=syntax)
        for kept in range(200, len(data) - 200, 5000):
            assert refusal(data[:kept]).status in (400, 422), (syntax, kept)


def test_a_decoder_that_crashes_hangs_or_takes_all_memory_costs_one_image(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for fault in (
        lambda *_: os.kill(os.getpid(), signal.SIGSEGV),
        lambda *_: bytearray(2**32),
        lambda *_: time.sleep(60),
    ):
        monkeypatch.setattr(decoder, "_decode", fault)
        began = time.perf_counter()
        assert refusal(FILE).status == 400
        assert time.perf_counter() - began < 3 * isolation.HEADER_S
    assert [vars(record)["code"] for record in caplog.records] == [-signal.SIGSEGV, -signal.SIGALRM]


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


def corpus() -> list[Path]:
    """Return the DICOM files in the wheels of pydicom and nibabel."""
    found = [*Path(pydicom.__file__).parent.glob("data/test_files/**/*")]
    found += Path(nibabel.__file__).parent.glob("**/*.dcm")
    return sorted(path for path in found if path.is_file() and path.stat().st_size <= MAX_IMAGE_BYTES)


BROKEN = {"MR_truncated.dcm", "meta_missing_tsyntax.dcm", "nested_priv_SQ.dcm"}
# Files made MR for their transfer syntaxes, and what shows the same: pydicom reads no JPEG of 12 bits.
MADE_MR = {name: name for name in ("JPEG2000.dcm", "693_J2KI.dcm")}
MADE_MR |= dict.fromkeys(("JPEG-lossy.dcm", "JPGExtended.dcm"), "JPEG2000.dcm")


@pytest.mark.slow
def test_every_file_of_the_wheels_gets_the_right_answer_or_refusal() -> None:
    answered = 0
    for path in corpus():
        data = path.read_bytes()
        if not imaging.is_dicom(data):
            continue
        dataset = pydicom.dcmread(path)
        if path.name in MADE_MR:
            data, dataset.Modality = without(data, Modality="MR"), "MR"
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
        same = path.with_name(MADE_MR[path.name]) if path.name in MADE_MR else path
        values = pydicom.dcmread(same).pixel_array.astype(float).ravel()
        if image.getextrema() != (0, 0):
            assert np.corrcoef(values, np.asarray(image).ravel())[0, 1] > 0.9, path
    assert answered >= 30

"""DICOM files that the tests draw: their forms, broken ones, and what a header must not tell."""

from __future__ import annotations

from io import BytesIO
from itertools import product

from pydicom import Dataset, dcmread, uid
from pydicom.datadict import dictionary_VR, keyword_dict

from container.dicom import TAGS
from scripts.benchmark.dicom_files import NATIVE, SYNTAXES, dicom, written
from scripts.client import quiet_pydicom

__all__ = ["NATIVE", "SYNTAXES", "dicom", "written"]  # passed on from the benchmark
MARKER = "ZQXMARKER"
TEXT = {"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
NEEDED = ("Modality", "PhotometricInterpretation")  # without which the container reads no image
FORMS = [
    (syntax, photometric, bits, signed)
    for syntax, photometric, bits, signed in product(
        SYNTAXES, ("MONOCHROME2", "MONOCHROME1"), (8, 12, 16), (False, True)
    )
    if syntax != uid.JPEGBaseline8Bit or (bits, signed) == (8, False)
]
"""Transfer syntax, photometric interpretation, bits stored, and whether they are signed."""


def bits_of(syntax: str) -> int:
    """Return a number of stored bits that the transfer syntax can hold, 12 if possible."""
    return 8 if syntax == uid.JPEGBaseline8Bit else 12


def planted(data: bytes, *, padding: bool = False) -> bytes:
    """Return a file with the marker in every text, private element, overlay, sequence and the preamble.

    With `padding`, the value of padded pixels is a text too, which breaks the image.
    """
    file = BytesIO()
    with quiet_pydicom():
        dataset = dcmread(BytesIO(data))
        texts = Dataset()
        for keyword, tag in keyword_dict.items():
            if dictionary_VR(tag) in TEXT and tag >> 16 not in (0, 2) and keyword not in NEEDED:
                texts.add_new(tag, dictionary_VR(tag), MARKER)
        del texts.SpecificCharacterSet
        dataset.update(texts)
        texts.LUTDescriptor, texts.LUTData = [256, 7, 16], list(range(256))
        texts["LUTDescriptor"].VR = texts["LUTData"].VR = "US"
        dataset.ModalityLUTSequence, dataset.ReferencedImageSequence = [texts], [texts]
        dataset["ReferencedImageSequence"].is_undefined_length = True
        if padding:
            dataset.add_new(0x00280120, "LO", MARKER)
        dataset.add_new(0x60001500, "LO", MARKER)
        dataset.add_new(0x60003000, "OW", MARKER.encode() * 2)
        dataset.add_new(0xFFFCFFFC, "OB", MARKER.encode())
        dataset.private_block(0x0019, MARKER, create=True).add_new(1, "UN", MARKER.encode())
        dataset.preamble = MARKER.encode().ljust(128)
        dataset.file_meta.SourceApplicationEntityTitle = MARKER
        dataset.save_as(file)
    return file.getvalue()


def without(data: bytes, *keywords: str, **changed: object) -> bytes:
    """Return a file without some elements, and with others changed."""
    dataset = dcmread(BytesIO(data))
    for keyword in keywords:
        delattr(dataset, keyword)
    for keyword, value in changed.items():
        setattr(dataset, keyword, value)
    return written(dataset, dataset.file_meta.TransferSyntaxUID)


def broken(data: bytes) -> dict[str, tuple[bytes, int]]:
    """Return files that hold the given one and cannot be read, with the container's status for each."""
    at = data.index(b"\x08\x00\x16\x00")
    meta, body = data[:at], data[at:]
    # A sequence and its item, both of undefined length
    opened = b"\x08\x00\x06\x00SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return {
        "cut within the header": (data[:200], 400),
        "no transfer syntax": (data.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x11\x00UI"), 400),
        "an unknown type": (meta + b"\x08\x00\x05\x00??\x02\x00xx" + body, 400),
        "a text without end": (meta + b"\x08\x00\x05\x00UT\0\0\xfe\xff\xff\xffxx" + body, 400),
        "a sequence without end": (meta + opened + body, 400),
        "sequences in sequences": (meta + opened * 30_000 + body, 400),
        "deflated": (written(dcmread(BytesIO(data)), uid.DeflatedExplicitVRLittleEndian), 415),
        "no preamble": (data[132:], 415),
        "the data set alone": (body, 415),
    }


def assert_stripped(sent: bytes, original: bytes) -> None:
    """Of a planted file, only its pixels and what the container reads were sent."""
    assert MARKER.encode() not in sent
    after, before = dcmread(BytesIO(sent)), dcmread(BytesIO(original))
    assert after.PixelData == before.PixelData
    assert {element.keyword for element in after} <= set(TAGS)
    assert {element.keyword for element in after.ModalityLUTSequence[0]} == {"LUTDescriptor", "LUTData"}
    kept = {element.keyword: element.value for element in after.file_meta}
    del kept["FileMetaInformationGroupLength"]
    assert kept == {"TransferSyntaxUID": before.file_meta.TransferSyntaxUID}

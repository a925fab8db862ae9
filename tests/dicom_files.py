"""DICOM files that the tests draw: their forms, and what a header must not tell."""

from __future__ import annotations

from io import BytesIO
from itertools import product

from pydicom import Dataset, dcmread, uid
from pydicom.datadict import dictionary_VR, keyword_dict

from scripts.benchmark.dicom_files import NATIVE, SYNTAXES, dicom, written
from scripts.client import quiet_pydicom

__all__ = ["FORMS", "MARKER", "NATIVE", "SYNTAXES", "dicom", "planted", "without"]
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

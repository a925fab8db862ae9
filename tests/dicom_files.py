"""DICOM files that the tests draw, in each transfer syntax that can be written here."""

from __future__ import annotations

from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import gdcm
import numpy as np
from pydicom import Dataset, dcmread, uid
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import FileMetaDataset

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

NATIVE = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian)
BY_GDCM = {
    uid.JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    uid.JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
    uid.JPEGLSLossless: gdcm.TransferSyntax.JPEGLSLossless,
    uid.JPEGBaseline8Bit: gdcm.TransferSyntax.JPEGBaselineProcess1,
}
TEXT = ("LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR", "AE", "CS")
"""Value representations that hold any text, or would if nobody checked."""
SYNTAXES = (*NATIVE, uid.RLELossless, uid.JPEG2000Lossless, *BY_GDCM)

FORMS = [
    (syntax, photometric, bits, signed)
    for syntax, photometric, bits, signed in product(
        SYNTAXES, ("MONOCHROME2", "MONOCHROME1"), (8, 12, 16), (False, True)
    )
    if syntax != uid.JPEGBaseline8Bit or (bits, signed) == (8, False)
]
"""Transfer syntax, photometric interpretation, bits stored, and whether they are signed."""


def dicom(
    image: Image.Image | NDArray[Any],
    *,
    syntax: str = uid.ExplicitVRLittleEndian,
    bits: int = 12,
    signed: bool = False,
    photometric: str = "MONOCHROME2",
    **tags: object,
) -> bytes:
    """Write an MR image of 8-bit grey levels, (rows, columns) or (frames, rows, columns), as a DICOM file.

    The levels are spread over a part of the `bits`, as a scanner's are.
    """
    grey = np.asarray(image).astype(np.int32)
    if photometric == "MONOCHROME1":
        grey = 255 - grey
    stored = grey if bits == 8 else grey * (2 ** (bits - 1) // 255) + 7
    if signed:
        stored = stored - (128 if bits == 8 else 2 ** (bits - 3))
    allocated = 8 if bits == 8 else 16
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = uid.MRImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    data.Modality, data.SamplesPerPixel, data.PhotometricInterpretation = "MR", 1, photometric
    if grey.ndim == 3:
        data.NumberOfFrames = len(grey)
    data.Rows, data.Columns = grey.shape[-2:]
    data.BitsAllocated, data.BitsStored, data.HighBit = allocated, bits, bits - 1
    data.PixelRepresentation = int(signed)
    for name, value in tags.items():
        setattr(data, name, value)
    kind = np.dtype(f"{'i' if signed else 'u'}{allocated // 8}")
    pixels = stored.astype(kind).tobytes()
    data.PixelData = pixels + bytes(len(pixels) % 2)
    data["PixelData"].VR = "OB" if allocated == 8 else "OW"
    if syntax in BY_GDCM:
        return _by_gdcm(_written(data, uid.ExplicitVRLittleEndian), BY_GDCM[uid.UID(syntax)])
    if plugin := {uid.RLELossless: "pydicom", uid.JPEG2000Lossless: "pylibjpeg"}.get(uid.UID(syntax)):
        data.compress(syntax, encoding_plugin=plugin)
    return _written(data, syntax)


def planted(image: Image.Image) -> tuple[bytes, bytes]:
    """Write a file whose texts all hold a marker: every text element, private ones and overlays included.

    Returns the file and the marker.
    """
    marker = "ZQXMARKER"
    dataset = dcmread(BytesIO(dicom(image)))
    kept = {element.tag for element in dataset}
    for tag, (vr, *_) in DicomDictionary.items():
        if vr in TEXT and tag >> 16 > 2 and tag not in kept:
            dataset.add_new(tag, vr, marker)
    block = dataset.private_block(0x0011, marker, create=True)
    block.add_new(0x01, "LO", marker)
    block.add_new(0x02, "SQ", [dataset_of(marker)])
    dataset.add_new(0x60003000, "OW", marker.encode() + b" ")
    dataset.add_new(0x60000022, "LO", marker)
    dataset.ReferencedImageSequence = [dataset_of(marker)]
    return _written(dataset, uid.ExplicitVRLittleEndian), marker.encode()


def dataset_of(text: str) -> Dataset:
    """Return an item of a sequence with a text."""
    item = Dataset()
    item.PatientName = item.StudyDescription = text
    return item


def without(data: bytes, *keywords: str, **changed: object) -> bytes:
    """Return a file without some elements, and with others changed."""
    dataset = dcmread(BytesIO(data))
    for keyword in keywords:
        delattr(dataset, keyword)
    for keyword, value in changed.items():
        setattr(dataset, keyword, value)
    return _written(dataset, dataset.file_meta.TransferSyntaxUID)


def _written(dataset: Dataset, syntax: str) -> bytes:
    file = BytesIO()
    if syntax == uid.ExplicitVRBigEndian and dataset.BitsAllocated > 8:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    little = syntax != uid.ExplicitVRBigEndian
    implicit = syntax == uid.ImplicitVRLittleEndian
    dataset.save_as(file, enforce_file_format=True, little_endian=little, implicit_vr=implicit)
    return file.getvalue()


def _by_gdcm(data: bytes, syntax: int) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "image.dcm")
        path.write_bytes(data)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return path.read_bytes()

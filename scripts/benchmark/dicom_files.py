"""Writes DICOM files in each transfer syntax that can be written here, for the benchmark and the tests."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import gdcm
import numpy as np
from pydicom import Dataset, uid

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
BYTE = 8  # bits
SYNTAXES = (*NATIVE, uid.RLELossless, uid.JPEG2000Lossless, *BY_GDCM)


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
    stored = grey if bits == BYTE else grey * (2 ** (bits - 1) // 255) + 7
    if signed:
        stored = stored - (128 if bits == BYTE else 2 ** (bits - 3))
    data = Dataset()
    kind = f"{'i' if signed else 'u'}{1 if bits == BYTE else 2}"
    data.set_pixel_data(stored.astype(kind), photometric, bits)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = uid.MRImageStorage
    data.Modality = "MR"
    for name, value in tags.items():
        setattr(data, name, value)
    if syntax in BY_GDCM:
        return _by_gdcm(written(data, uid.ExplicitVRLittleEndian), BY_GDCM[uid.UID(syntax)])
    if plugin := {uid.RLELossless: "pydicom", uid.JPEG2000Lossless: "pylibjpeg"}.get(uid.UID(syntax)):
        data.compress(syntax, encoding_plugin=plugin)
    return written(data, syntax)


def written(dataset: Dataset, syntax: str) -> bytes:
    """Return a data set as a file in one of the native transfer syntaxes, or as it is encoded."""
    file = BytesIO()
    if syntax == uid.ExplicitVRBigEndian and dataset.BitsAllocated > BYTE:
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
        reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        changed = change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not (changed and writer.Write()):
            raise ValueError("GDCM cannot write this image, such as one of an odd number of bytes")
        return path.read_bytes()

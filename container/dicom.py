"""From the bytes of a DICOM file to one frame as an 8-bit grey image.

Of the header, only `TAGS` are read, and no text of it leaves this module: neither in an error nor in a log.
Importing this module imports no decoder; `read` does.
"""

from __future__ import annotations

import warnings
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from .grey_levels import narrowed
from .problem import MAX_IMAGE_PIXELS, Problem, check_frame, too_many_pixels
from .settings import ASYNCHRONOUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from pydicom import Dataset

T = TypeVar("T")

DEFLATED = b"1.2.840.10008.1.2.1.99"
META_BYTES = 4096  # where the transfer syntax is looked for

TAGS = (
    *("Modality", "ModalityLUTSequence", "PresentationLUTShape", "BurnedInAnnotation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "RescaleSlope", "RescaleIntercept"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData", "FloatPixelData"),
    "DoubleFloatPixelData",
)
"""All that is read, apart from the transfer syntax; what our clients send holds no more."""
MODALITIES = frozenset(
    {"CR", "CT", "DOC", "DX", "ECG", "MG", "NM", "OT", "PR", "PT", "REG", "RF", "RTDOSE", "RTIMAGE", "RTPLAN"}
    | {"RTSTRUCT", "SC", "SEG", "SR", "US", "XA"}
)
"""Modalities that an error names."""
GREY = ("MONOCHROME1", "MONOCHROME2")
PIXEL_TAGS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
"""What a decoder of one frame needs to know."""
END_OF_JPEG = b"\xff\xd9"

DECODERS = {
    "1.2.840.10008.1.2": "",  # pydicom's own
    "1.2.840.10008.1.2.1": "",
    "1.2.840.10008.1.2.2": "",
    "1.2.840.10008.1.2.5": "pydicom",  # RLE
    "1.2.840.10008.1.2.4.50": "pillow",  # JPEG baseline
    "1.2.840.10008.1.2.4.51": "dicomsdl",  # JPEG extended, 8 and 12 bits
    "1.2.840.10008.1.2.4.57": "dicomsdl",  # JPEG lossless
    "1.2.840.10008.1.2.4.70": "dicomsdl",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "dicomsdl",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81": "dicomsdl",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90": "pylibjpeg",  # JPEG 2000 lossless, by OpenJPEG
    "1.2.840.10008.1.2.4.91": "pylibjpeg",  # JPEG 2000
    "1.2.840.10008.1.2.4.201": "pylibjpeg",  # HTJ2K lossless
    "1.2.840.10008.1.2.4.202": "pylibjpeg",  # HTJ2K lossless RPCL
    "1.2.840.10008.1.2.4.203": "pylibjpeg",  # HTJ2K
}
"""Transfer syntaxes, and what decodes each: DICOMSDL or a plugin of pydicom."""


class Header(NamedTuple):
    """What the decoder needs to know of a file whose header was accepted."""

    dataset: Dataset
    syntax: str
    frame: int  # from 0
    rows: int
    columns: int
    frames: int  # of the file


def read(
    data: bytes, *, frame: int | None = None, on_header: Callable[[int, int], None] = lambda *_: None
) -> Image.Image:
    """Decode one frame of a DICOM file into an 8-bit grey image (mode L), black where there is least signal.

    Stored values become 8 bits between their 0.1 and 99.9 percentiles, whatever window the file suggests.
    `frame`, from 1, is needed for a file of several. `on_header` is called with the numbers of pixels and of
    frames once the header was accepted, before a pixel is decoded.

    Raises `Problem`: 400 for a truncated or broken file, 413 beyond `MAX_IMAGE_PIXELS`, 415 for a transfer
    syntax without a decoder, 422 for what is no grey MR image or whose frame is not named.
    """
    from pydicom import config  # noqa: PLC0415 - only a DICOM file pays for the import

    config.settings.reading_validation_mode = config.IGNORE
    with warnings.catch_warnings(action="ignore"):  # they quote the header
        header = _header(data, frame)
        on_header(header.rows * header.columns, header.frames)
        stored = _attempt(lambda: _decode(header), "pixel data")
        if stored.shape != (header.rows, header.columns):
            raise broken("pixel data")
        return Image.fromarray(_attempt(lambda: _grey(stored, header.dataset), "pixel data"))


def broken(part: str = "header") -> Problem:
    """Return the refusal of a file of which a part cannot be read."""
    return Problem(
        HTTPStatus.BAD_REQUEST, f"The DICOM file is truncated or broken: its {part} is unreadable."
    )


def unsupported() -> Problem:
    """Return the refusal of a transfer syntax without a decoder."""
    return Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The DICOM file's transfer syntax is not supported: save it uncompressed or as JPEG 2000.",
    )


def _attempt(read: Callable[[], T], part: str) -> T:
    """Return what can be read; whatever a library raises about a broken file becomes a `Problem`."""
    try:
        return read()
    except Problem:
        raise
    except Exception:
        raise broken(part) from None


def _header(data: bytes, frame: int | None) -> Header:
    from pydicom import dcmread  # noqa: PLC0415

    if DEFLATED in data[:META_BYTES]:  # inflated, 600 KB can take 1.2 GB
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The DICOM file is deflated as a whole, which is not supported: save it uncompressed.",
        )
    dataset = _attempt(lambda: dcmread(BytesIO(data), specific_tags=list(TAGS)), "header")
    syntax = _attempt(lambda: str(dataset.file_meta.TransferSyntaxUID), "header")
    if syntax not in DECODERS:
        raise unsupported()
    return _attempt(lambda: _accepted(dataset, syntax, frame), "header")


def _accepted(dataset: Dataset, syntax: str, frame: int | None) -> Header:
    """Refuse by its header what cannot be one brain-MRI slice, or would cost too much to decode."""
    modality = dataset.get("Modality") or "MR"
    if modality != "MR":
        named = f" but {modality}" if modality in MODALITIES else ""
        raise _unprocessable(f"The DICOM file is no MR image: its modality is not MR{named}.")
    if dataset.get("BurnedInAnnotation") == "YES":
        raise _unprocessable("The image has burned-in annotations: send one without text in its pixels.")
    if "PixelData" not in dataset:
        floating = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
        what = "floating-point pixels, which are not supported" if floating else "no image"
        raise _unprocessable(f"The DICOM file holds {what}: send an MR image of at most 16 bits.")
    bits, samples = _number(dataset, "BitsAllocated"), _number(dataset, "SamplesPerPixel", 1)
    if samples != 1 or dataset.get("PhotometricInterpretation") not in GREY:
        raise _unprocessable("The DICOM image has colours, which an MR slice has not: send a grey one.")
    if bits not in (8, 16):
        raise _unprocessable("The DICOM image has neither 8 nor 16 bits per pixel: send it as one of these.")
    rows, columns = _number(dataset, "Rows"), _number(dataset, "Columns")
    frames = _number(dataset, "NumberOfFrames", 1) or 1
    stored = _number(dataset, "BitsStored", bits)
    if min(rows, columns, frames) < 1 or not 1 <= stored <= bits:
        raise broken()
    if _number(dataset, "HighBit", stored - 1) >= stored:  # decoders drop the bits above
        raise _unprocessable("The DICOM image does not store its values in the lowest bits: save it so.")
    if rows * columns * (1 if ASYNCHRONOUS else frames) > MAX_IMAGE_PIXELS:
        raise too_many_pixels(f"{columns} x {rows} x {frames}")
    check_frame(frame, frames)
    return Header(dataset, syntax, (frame or 1) - 1, rows, columns, frames)


def _decode(header: Header) -> NDArray[Any]:
    """Return the stored values, (rows, columns)."""
    decoder = DECODERS[header.syntax]
    if decoder == "dicomsdl":
        try:
            import dicomsdl  # noqa: PLC0415
        except ImportError:  # there is no wheel for Linux on arm64
            raise unsupported() from None
        stored = np.asarray(dicomsdl.open_memory(_one_frame(header)).pixelData(storedvalue=True))
        signed = header.dataset.get("PixelRepresentation") == 1
        return stored.view(np.int8) if signed and stored.dtype == np.uint8 else stored
    from pydicom.pixels.utils import pixel_array  # noqa: PLC0415

    return pixel_array(header.dataset, index=header.frame, raw=True, decoding_plugin=decoder)


def _one_frame(header: Header) -> bytes:
    """Return a file of the frame alone.

    DICOMSDL finds later ones by a basic offset table only, and makes up what a truncated one lacks.
    """
    from pydicom import dataset, encaps, uid  # noqa: PLC0415

    source = header.dataset
    offsets, lengths = (source.get(f"ExtendedOffsetTable{of}") for of in ("", "Lengths"))
    frame = encaps.get_frame(
        source.PixelData,
        header.frame,
        extended_offsets=(offsets, lengths) if offsets and lengths else None,
        number_of_frames=_number(source, "NumberOfFrames", 1) or 1,
    )
    if END_OF_JPEG not in frame:
        raise broken("pixel data")
    one, file = dataset.Dataset(), BytesIO()
    one.update({source[keyword].tag: source[keyword] for keyword in PIXEL_TAGS if keyword in source})
    one.add_new("PixelData", "OB", encaps.encapsulate([frame]))
    one.preamble, one.file_meta = bytes(128), dataset.FileMetaDataset()
    one.file_meta.TransferSyntaxUID = uid.UID(header.syntax)
    one.save_as(file)
    return file.getvalue()


def _grey(stored: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    padding = dataset.get("PixelPaddingValue")
    shown: NDArray[np.bool_] | np.bool_ = np.True_
    if padding is not None:  # which may be written without its sign
        shown = stored != np.asarray(int(padding)).astype(f"{stored.dtype.kind}2")
    inverse = bool(dataset.get("PresentationLUTShape") == "INVERSE")
    inverse |= dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    if dataset.get("ModalityLUTSequence"):
        from pydicom.pixels.processing import apply_modality_lut  # noqa: PLC0415

        values = apply_modality_lut(stored, dataset)
    else:  # of a linear rescaling, only its sign changes what lies between two percentiles
        values = stored
        inverse ^= float(dataset.get("RescaleSlope") or 1) < 0
    if values.dtype == np.uint8:
        grey = 255 - values if inverse else values
    else:  # inverted first, so that the ends are those of the picture that is not inverted
        values = np.negative(values, dtype=np.int32) if inverse else values
        if not shown.all():
            # No signal is 0, but for values that are stored with an offset.
            values = np.where(shown, values, values[shown].min(initial=0))
        grey = narrowed(values)
    return np.where(shown, grey, np.uint8(0))


def _number(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    return int(dataset.get(keyword, default))


def _unprocessable(detail: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)

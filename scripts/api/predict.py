"""Classifies many images through a gateway, several at a time."""

from __future__ import annotations

import os
from concurrent.futures import as_completed
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.api.gateway import request_threads
from scripts.api.nifti import VolumeError
from scripts.api.output import Outcome
from scripts.api.series import VOLUMES, is_dicom
from scripts.client import MAX_UPLOAD_BYTES, ClientError, ForbiddenError, ProblemError, UnauthorizedError
from scripts.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from scripts.api.series import Image
    from scripts.client import Client, Prediction

SUFFIXES = (".jpg", ".jpeg", ".png", ".dcm", *VOLUMES)
MAX_DICOM_BYTES = 128 * 1024**2  # of a file, of which less is sent


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the named files and, for folders, all images below them; each once.

    Scanners give DICOM files any name: in folders they are known by their bytes.

    Raises
    ------
    DeliveryError
        Naming every path that is neither a file nor a folder, every folder without an image, and every path
        with a folder that cannot be read.
    """
    found: dict[Path, None] = {}
    wrong: list[str] = []
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - Path's raises where the parent cannot be read
            inside = _images_below(path, wrong)
            found |= dict.fromkeys(inside)
            wrong += [] if inside or wrong else [f"{path} holds no {', '.join(SUFFIXES)}"]
        elif os.path.isfile(path):  # noqa: PTH113
            found[path] = None
        else:
            wrong.append(f"{path} is neither a file nor a folder that can be read")
    if wrong:
        raise DeliveryError(f"{'; '.join(wrong)}.")
    return list(found)


def classify_images(
    client: Client, images: Sequence[Image], *, parallel: int, **options: bool
) -> Generator[Outcome]:
    """Classify images, up to `parallel` at a time with these options, and yield each outcome as it comes.

    A gateway that rejects the caller, as it would for every image, is a `DeliveryError`.
    """
    predict: Callable[..., Prediction] = client.predict
    ask = partial(predict, **options)
    with request_threads(client, parallel) as pool:
        futures = [pool.submit(_classify, ask, image) for image in images]
        yield from (future.result() for future in as_completed(futures))


def _images_below(folder: Path, wrong: list[str]) -> list[Path]:
    errors: list[OSError] = []
    found = []
    for parent, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if name[0] != "."]
        found += [Path(parent, name) for name in names if name[0] != "."]
    found = [path for path in found if path.name != "DICOMDIR"]  # it lists the DICOM files beside it
    wrong += [f"{error.filename} cannot be read: {error.strerror}" for error in errors]
    files = (path for path in found if os.path.isfile(path))  # noqa: PTH113
    return sorted(path for path in files if path.name.lower().endswith(SUFFIXES) or is_dicom(path))


def _classify(ask: Callable[..., Prediction], image: Image) -> Outcome:
    try:
        if image.error:
            raise VolumeError(image.error)
        if image.draw:
            return Outcome(image, ask(image.draw()))
        size, limit = image.path.stat().st_size, MAX_DICOM_BYTES if image.series else MAX_UPLOAD_BYTES
        if size > limit:
            return Outcome(image, error=f"The file has {size:,} bytes; the limit is {limit:,}.")
        return Outcome(image, ask(image.path.read_bytes(), frame=image.frame))
    except (UnauthorizedError, ForbiddenError) as error:
        raise DeliveryError(f"The gateway rejected the credentials: {error.problem.detail}") from error
    except ProblemError as error:
        return Outcome(image, problem=error.problem)
    except (ClientError, VolumeError) as error:
        return Outcome(image, error=str(error))
    except OSError as error:
        return Outcome(image, error=f"The file cannot be read: {error.strerror}.")

"""Classifies many images through a gateway, several at a time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.api.output import Outcome
from scripts.client import MAX_IMAGE_BYTES, ClientError, ForbiddenError, ProblemError, UnauthorizedError
from scripts.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scripts.client import Client

SUFFIXES = (".jpg", ".jpeg", ".png")


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the named files and, for folders, all JPEG and PNG files below them; each once.

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
    client: Client,
    paths: Sequence[Path],
    *,
    parallel: int,
    heatmap: bool,
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Classify images, up to `parallel` at a time, and report each outcome as it comes.

    Raises
    ------
    DeliveryError
        If the gateway rejects the caller, as it would for every image.
    """
    pool = ThreadPoolExecutor(parallel)
    try:
        futures = [pool.submit(_classify, client, path, heatmap=heatmap) for path in paths]
        for future in as_completed(futures):
            on_outcome(future.result())
    except BaseException:
        client.close()  # otherwise Ctrl-C would wait for the requests in flight
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _images_below(folder: Path, wrong: list[str]) -> list[Path]:
    errors: list[OSError] = []
    found = []
    for parent, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if name[0] != "."]
        found += [Path(parent, name) for name in names if name[0] != "."]
    wrong += [f"{error.filename} cannot be read: {error.strerror}" for error in errors]
    images = (path for path in found if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in images if os.path.isfile(path))  # noqa: PTH113


def _classify(client: Client, path: Path, *, heatmap: bool) -> Outcome:
    try:
        size = path.stat().st_size
        if size > MAX_IMAGE_BYTES:
            return Outcome(path, error=f"The file has {size:,} bytes; the limit is {MAX_IMAGE_BYTES:,}.")
        return Outcome(path, client.predict(path.read_bytes(), heatmap=heatmap))
    except (UnauthorizedError, ForbiddenError) as error:
        raise DeliveryError(f"The gateway rejected the credentials: {error.problem.detail}") from error
    except ProblemError as error:
        return Outcome(path, problem=error.problem)
    except ClientError as error:
        return Outcome(path, error=str(error))
    except OSError as error:
        return Outcome(path, error=f"The file cannot be read: {error.strerror}.")

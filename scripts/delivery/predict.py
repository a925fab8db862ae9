"""Asks a gateway about many images: which, who asks, and several at a time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from typing import TYPE_CHECKING

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from scripts.client import (
    MAX_IMAGE_BYTES,
    Client,
    ClientError,
    ForbiddenError,
    ProblemError,
    UnauthorizedError,
)
from scripts.delivery.answers import Answer
from scripts.delivery.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from scripts.client import Sign

# Secrets come from the environment alone: everybody on a machine may read the arguments of its programs.
API_KEY, ACCESS_TOKEN = "TUMOR_API_KEY", "TUMOR_ACCESS_TOKEN"
SUFFIXES = (".jpg", ".jpeg", ".png")


def images_of(paths: Iterable[Path]) -> list[Path]:
    """Return the files that are named, and of each folder all that are called JPEG or PNG, once each.

    Raises
    ------
    DeliveryError
        Naming every path that is neither, and every folder without an image.
    """
    found: dict[Path, None] = {}
    wrong = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if _is_image(each.relative_to(path), each))
            found |= dict.fromkeys(inside)
            wrong += [] if inside else [f"{path} holds no {', '.join(SUFFIXES)}"]
        elif path.is_file():
            found[path] = None
        else:
            wrong.append(f"{path} is neither a file nor a folder")
    if wrong:
        raise DeliveryError(f"{'; '.join(wrong)}.")
    return list(found)


def connect(url: str, *, api_key: str | None = None) -> Client:
    """Return a client for a stage's URL, with what that deployment's own document asks its callers for.

    Parameters
    ----------
    url
        The stage's URL.
    api_key
        The key, where it is known already; else it is that of the environment.

    Raises
    ------
    DeliveryError
        If the caller lacks what is asked for.
    ClientError
        If nothing answers there, or something else than this API.
    """
    with closing(Client(url)) as anybody:
        document = anybody.openapi()
    components = document.get("components")
    asked = components.get("securitySchemes", {}) if isinstance(components, dict) else {}
    if "api_key" in asked:
        return Client(url, api_key=api_key or _secret(API_KEY, "an API key"))
    if "cognito" in asked:
        return Client(url, access_token=_secret(ACCESS_TOKEN, "the access token of who has signed in"))
    return Client(url, sign=_signature() if "iam" in asked else None)


def ask(
    client: Client,
    paths: Sequence[Path],
    *,
    parallel: int,
    heatmap: bool,
    answered: Callable[[Answer], None],
) -> None:
    """Ask about each image, up to `parallel` at a time, and hand on each answer as it comes.

    Raises
    ------
    DeliveryError
        If the gateway does not let the caller in: it would say so of every image.
    """
    pool = ThreadPoolExecutor(parallel)
    try:
        asked = [pool.submit(_answer, client, path, heatmap=heatmap) for path in paths]
        for future in as_completed(asked):
            answered(future.result())
    except BaseException:
        client.close()  # else Ctrl-C would wait for what is on its way
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _is_image(below: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in below.parts)
    return not hidden and path.suffix.lower() in SUFFIXES and path.is_file()


def _answer(client: Client, path: Path, *, heatmap: bool) -> Answer:
    try:
        size = path.stat().st_size
        if size > MAX_IMAGE_BYTES:
            return Answer(path, fault=f"The file has {size:,} bytes; at most {MAX_IMAGE_BYTES:,} are taken.")
        return Answer(path, client.predict(path.read_bytes(), heatmap=heatmap))
    except (UnauthorizedError, ForbiddenError) as error:
        raise DeliveryError(f"The gateway did not let this in: {error.problem.detail}") from error
    except ProblemError as error:
        return Answer(path, problem=error.problem)
    except ClientError as error:
        return Answer(path, fault=str(error))
    except OSError as error:
        return Answer(path, fault=f"The file cannot be read: {error.strerror}.")


def _secret(name: str, what: str) -> str:
    found = os.environ.get(name)
    if not found:
        raise DeliveryError(f"This gateway wants {what}: put it into the environment variable {name}.")
    return found


def _signature() -> Sign:
    caller = boto3.Session()
    credentials = caller.get_credentials()
    if credentials is None or caller.region_name is None:
        raise DeliveryError("This gateway wants signed requests: log in to AWS and set AWS_REGION.")
    signer = SigV4Auth(credentials, "execute-api", caller.region_name)

    def sign(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        request = AWSRequest(method=method, url=url, data=body, headers=dict(headers))
        signer.add_auth(request)
        return dict(request.headers)

    return sign

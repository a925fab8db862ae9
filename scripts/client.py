"""A client of the tumor-detector API 1.0.0: one file that needs Python 3.11 or later and no package.

Copy it into your project. Not a medical device. Only DICOM files need one, pydicom 3: without it, their
headers cannot be removed before they are sent.

    client = Client("https://example.org/v1", api_key=os.environ["TUMOR_API_KEY"])
    prediction = client.predict(Path("scan.jpg").read_bytes())
    print(prediction.label, prediction.probability)
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import secrets
import socket
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from io import BytesIO
from types import UnionType
from typing import TYPE_CHECKING, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    from pydicom import Dataset

T = TypeVar("T")
Sign = Callable[[str, str, Mapping[str, str], bytes], Mapping[str, str]]
"""Takes method, URL, headers and body, and returns the headers with an AWS Signature Version 4."""
OnRetry = Callable[[str, float], None]
"""Takes what went wrong and the pause in seconds, before a request is sent again."""

MAX_IMAGE_BYTES = 4_194_304
MAX_UPLOAD_BYTES = 104_857_600  # where predictions are answered later
JSON, OCTETS = "application/json", "application/octet-stream"
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 8.0
OK, ACCEPTED, TOO_MANY_REQUESTS, SERVER_ERROR = 200, 202, 429, 500

DICOM_TAGS = (
    *("Modality", "ModalityLUTSequence", "PresentationLUTShape", "BurnedInAnnotation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "RescaleSlope", "RescaleIntercept"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData", "FloatPixelData"),
    "DoubleFloatPixelData",
)
"""All that is sent of a DICOM file, apart from its transfer syntax."""
DICOM_TERMS = frozenset(
    {"MR", "CR", "CT", "DOC", "DX", "ECG", "MG", "NM", "OT", "PR", "PT", "REG", "RF", "RTDOSE", "RTIMAGE"}
    | {"RTPLAN", "RTSTRUCT", "SC", "SEG", "SR", "US", "XA", "MONOCHROME1", "MONOCHROME2", "RGB", "YES", "NO"}
    | {"PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "IDENTITY", "INVERSE"}
)
"""Texts that these elements may hold; any other could name a person and is sent as UNKNOWN."""
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_BARE_DICOM = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")  # the first group of a data set
_pydicom_settings = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Model:
    """The model that answered."""

    name: str
    version: str  # in the model registry
    sha256: str  # of its artifact


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """The evidence for YES: a grid over the whole upright image, rows from the top."""

    width: int
    height: int
    values: list[list[float]]  # each from 0, no opinion, to 1, strong evidence


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What the network saw."""

    png: str  # base64 of a square grey PNG
    box: list[float]  # left, top, right and bottom of it in pixels of the upright image


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The model's prediction for one image."""

    label: Literal["NO", "YES"]  # YES: a tumour
    class_: Literal[0, 1]  # 1 for YES: the probability is at or above the threshold
    probability: float  # calibrated, of YES
    threshold: float  # chosen on validation data, specific to this model
    reliability: Literal["low"] | None = None  # low for an image unlike those that the model learnt from
    reasons: list[str] | None = None  # for the low reliability
    model: Model
    heatmap: Heatmap | None = None  # on request, where the model offers one
    preview: Preview | None = None  # on request
    frame: int | None = None  # where every frame of a file was asked
    request_id: str  # identifies the request in the logs


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A prediction that is answered later."""

    id: str
    status: Literal["waiting", "running"]
    status_url: str  # relative to the stage's URL
    upload_url: str | None = None  # takes a form of the fields and then the image as `file`
    upload_fields: dict[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Label:
    """What somebody said that the image of a request shows."""

    request_id: str
    label: Literal["NO", "YES"]  # YES: a tumour


@dataclass(frozen=True, kw_only=True)
class ServedModel(Model):
    """The model that serves, and how far it may be trusted."""

    kind: Literal["images", "phantom"]  # of its training data: a phantom model's answers mean nothing
    gates_failed: list[str]  # names of the quality gates that it did not pass; several_sources: one source
    forced: str | None = None  # why it serves although a gate failed


@dataclass(frozen=True, kw_only=True)
class Health:
    """The endpoint is in service, with this model."""

    status: Literal["ok"]
    model: ServedModel


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a request failed (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str  # what is wrong and how to correct it
    score: float | None = None  # how much the image resembles a brain MRI; with a 422 decided by the model
    score_threshold: float | None = None  # the lowest score that is classified
    frame: int | None = None  # where every frame of a file was asked
    request_id: str


class ClientError(Exception):
    """The base class of this client's errors."""


class NoAnswerError(ClientError):
    """The gateway could not be reached, or did not answer in time."""


class MalformedAnswerError(ClientError):
    """The answer does not come from this API, or from another version of it."""


class ProblemError(ClientError):
    """The answer is a problem; each status has a subclass."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}")
        self.problem = problem

    def __init_subclass__(cls, *, status: int) -> None:
        PROBLEMS[status] = cls


PROBLEMS: dict[int, type[ProblemError]] = {}


class BadRequestError(ProblemError, status=400):
    """No image, or a broken one; or a label of another form."""


class UnauthorizedError(ProblemError, status=401):
    """No or an invalid access token."""


class ForbiddenError(ProblemError, status=403):
    """Not authorised, or blocked by the firewall."""


class NotFoundError(ProblemError, status=404):
    """No such path, no model card, or no prediction of this id."""


class ConflictError(ProblemError, status=409):
    """The image has not been uploaded."""


class GoneError(ProblemError, status=410):
    """The prediction has expired."""


class ContentTooLargeError(ProblemError, status=413):
    """Too many bytes or pixels."""


class UnsupportedMediaTypeError(ProblemError, status=415):
    """Neither JPEG, PNG nor DICOM, or a DICOM file whose transfer syntax is not supported."""


class UnprocessableContentError(ProblemError, status=422):
    """The image is not a brain MRI that can be classified, or has no such frame."""


class TooManyRequestsError(ProblemError, status=429):
    """Too many requests at once."""


class InternalServerError(ProblemError, status=500):
    """The gateway failed."""


class BadGatewayError(ProblemError, status=502):
    """The endpoint failed."""


class ServiceUnavailableError(ProblemError, status=503):
    """The model is not ready, or a label cannot be kept at present."""


class GatewayTimeoutError(ProblemError, status=504):
    """The model took too long."""


@dataclass(frozen=True)
class Reply:
    """A complete HTTP response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """A client for one gateway. Threads may share it; each keeps a connection of its own.

    A request that is repeated changes nothing more, so transient failures are retried: a 429 or 503 after its
    `Retry-After`, which holds back all threads, for up to `patience_s` in total; any other 5xx, or no answer,
    with exponential backoff for up to `attempts` attempts. Methods raise a `ProblemError` for a problem, a
    `NoAnswerError` if no answer came, and a `MalformedAnswerError` if the answer breaks the API's contract.

    Parameters
    ----------
    url
        The stage's URL, with or without a trailing slash.
    api_key, access_token, sign
        The caller's credentials, as the deployment requires them: one of these or none.
    timeout_s
        The longest wait for data; API Gateway itself gives up after 29 s.
    attempts, patience_s
        Limits of the retries.
    queue_s
        The longest wait for an answer where predictions are answered later.
    on_retry
        Called before each pause.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        access_token: str | None = None,
        sign: Sign | None = None,
        timeout_s: float = 30.0,
        attempts: int = 4,
        patience_s: float = 60.0,
        queue_s: float = 1800.0,
        on_retry: OnRetry | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is not the URL of an API: write it like https://example.org/v1")
        self.url = url.rstrip("/")
        self._parts, self._sign, self._on_retry = parts, sign, on_retry
        self._headers = {"User-Agent": "tumor-detector-client"}
        if api_key:
            self._headers["x-api-key"] = api_key
        if access_token:
            self._headers["Authorization"] = f"Bearer {access_token}"
        self._timeout_s, self._attempts, self._patience_s = timeout_s, attempts, patience_s
        self._queue_s, self._answers_later = queue_s, False
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: set[http.client.HTTPConnection] = set()
        self._not_before = 0.0  # on the monotonic clock
        self._closed = threading.Event()

    def predict(
        self,
        image: bytes,
        *,
        heatmap: bool = False,
        preview: bool = False,
        frame: int | None = None,
        keep_header: bool = False,
        traceparent: str | None = None,
    ) -> Prediction:
        """Classify one JPEG, PNG or DICOM image of at most `MAX_IMAGE_BYTES`.

        Where predictions are answered later, it may have `MAX_UPLOAD_BYTES`; this waits for the answer.

        Parameters
        ----------
        heatmap
            Whether to add the heatmap.
        preview
            Whether to add what the network saw.
        frame
            The number of the frame, from 1, of a DICOM file that has several.
        keep_header
            Whether a DICOM file is sent as it is; by default only what `without_header` leaves is sent.
        traceparent
            W3C trace context, which the logs of every hop then carry.
        """
        if not keep_header:
            image, frame = without_header(image, frame=frame)
        query = {"heatmap": "true" if heatmap else "false"}
        query |= {"preview": "true"} if preview else {}
        query |= {"frame": str(frame)} if frame is not None else {}
        headers = {"Content-Type": OCTETS}  # the bytes decide what they are
        headers |= {"traceparent": traceparent} if traceparent else {}
        if not self._answers_later and len(image) <= MAX_IMAGE_BYTES:
            path = f"/predict?{urlencode(query)}"
            with suppress(NotFoundError):  # then POST /predictions says whether answers come later
                return parsed(Prediction, self._call("POST", path, headers=headers, body=image))
        return parsed(Prediction, self._answer_later(urlencode(query), headers, image))

    def predict_frames(self, image: bytes, *, keep_header: bool = False) -> list[Prediction | Problem]:
        """Classify every frame of a file, in their order, where predictions are answered later."""
        if not keep_header:
            image, _ = without_header(image)
        answer = self._answer_later("frame=all", {"Content-Type": OCTETS}, image, accept="application/jsonl")
        lines = answer.splitlines()
        return [parsed(Problem, each) if b'"detail"' in each else parsed(Prediction, each) for each in lines]

    def _answer_later(
        self, query: str, headers: Mapping[str, str], image: bytes, *, accept: str = JSON
    ) -> bytes:
        """Send or upload an image, and return its answer once it is there."""
        body, path = image if len(image) <= MAX_IMAGE_BYTES else b"", f"/predictions?{query}"
        try:
            begun = parsed(Accepted, self._call("POST", path, headers=headers, body=body, status=ACCEPTED))
        except NotFoundError:
            if body:
                raise
            found = f"{len(image):,} bytes; the limit is {MAX_IMAGE_BYTES:,}"
            raise ClientError(f"The image has {found}.") from None
        self._answers_later = True
        if begun.upload_url:
            self._upload(begun.upload_url, begun.upload_fields or {}, image)
        deadline, method, path = time.monotonic() + self._queue_s, "POST", f"/predictions/{begun.id}"
        sent = {**self._headers, "Accept": f"{accept}, application/problem+json"}
        while (reply := self._send(method, path, sent, b"")).status == ACCEPTED:
            if time.monotonic() > deadline:
                raise NoAnswerError(f"The image has waited for {self._queue_s:.0f} s: read {path} later.")
            self._pause(float(reply.headers.get("retry-after", 2)))
            method = "GET"
        return self._content(reply, f"{method} {path}", accept, OK)

    def _upload(self, url: str, fields: Mapping[str, str], image: bytes) -> None:
        boundary = secrets.token_hex(16)
        form = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
        form.append(b'name="file"; filename="image"\r\n\r\n' + image)
        lead = f"--{boundary}\r\nContent-Disposition: form-data; ".encode()
        body = b"".join(lead + part + b"\r\n" for part in form) + f"--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        try:
            urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=self._queue_s).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            raise ClientError(f"The upload was refused with {error.code}: begin again.") from error
        except OSError as error:
            raise NoAnswerError(f"The upload to {urlsplit(url).netloc} failed: {error}") from error

    def label(self, request_id: str, label: Literal["NO", "YES"], note: str | None = None) -> Label:
        """Say what the image of an earlier prediction shows, where the deployment takes labels.

        The same label again changes nothing; another one counts from then on. A note says why, in at most 500
        characters, and must not name a person.
        """
        if not request_id.replace("-", "").isalnum():
            raise ClientError(f"{request_id!r} is not the id of a request.")
        said = {"label": label} | ({} if note is None else {"note": note})
        path = f"/predictions/{request_id}/label"
        headers = {"Content-Type": JSON}
        return parsed(Label, self._call("POST", path, headers=headers, body=json.dumps(said).encode()))

    def health(self) -> Health:
        """Return the served model, if the endpoint is in service."""
        return parsed(Health, self._call("GET", "/health"))

    def model_card(self) -> str:
        """Return the served model's card as Markdown."""
        return self._call("GET", "/model-card", accept="text/markdown").decode()

    def openapi(self) -> dict[str, object]:
        """Return the OpenAPI document."""
        return parsed(dict, self._call("GET", "/openapi.json"))

    def docs(self) -> str:
        """Return the API documentation as HTML."""
        return self._call("GET", "/docs", accept="text/html").decode()

    def page(self) -> str:
        """Return the web page as HTML."""
        return self._call("GET", "/", accept="text/html").decode()

    def close(self) -> None:
        """Close every connection; calls in progress end with a `NoAnswerError`."""
        self._closed.set()
        with self._lock:
            for connection in self._connections:
                if connection.sock:
                    with suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)

    def _call(
        self,
        method: str,
        path: str,
        *,
        accept: str = JSON,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        status: int = OK,
    ) -> bytes:
        sent = {**self._headers, "Accept": f"{accept}, application/problem+json", **(headers or {})}
        return self._content(self._send(method, path, sent, body), f"{method} {path}", accept, status)

    def _content(self, reply: Reply, asked: str, accept: str, status: int) -> bytes:
        media_type = reply.headers.get("content-type", "").partition(";")[0]
        if reply.status == status and media_type == accept:
            return reply.body
        if reply.status in PROBLEMS and media_type == "application/problem+json":
            raise PROBLEMS[reply.status](parsed(Problem, reply.body))
        raise MalformedAnswerError(
            f"{self.url} is not this API: {asked} was answered with {reply.status} {media_type}."
        )

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        began, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            while (left := self._not_before - time.monotonic()) > 0:  # another thread may extend it meanwhile
                self._pause(left)
            outcome = self._attempt(method, path, headers, body)
            reply = outcome if isinstance(outcome, Reply) else None
            if reply and reply.status != TOO_MANY_REQUESTS and reply.status < SERVER_ERROR:
                return reply
            if not self._may_retry(reply, attempt=attempt, began=began):
                if isinstance(outcome, Reply):
                    return outcome
                raise NoAnswerError(f"{method} {self.url}{path} got no answer: {outcome}") from outcome
            backoff = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (attempt - 1))
            jitter = random.uniform(0, backoff)  # noqa: S311 - it spreads load, it keeps no secret
            pause = max(self._not_before - time.monotonic(), 0) + jitter
            if self._on_retry:
                self._on_retry(f"the answer was {reply.status}" if reply else f"no answer: {outcome}", pause)
            self._pause(pause)

    def _may_retry(self, reply: Reply | None, *, attempt: int, began: float) -> bool:
        after = reply.headers.get("retry-after", "") if reply else ""
        if not after.isdecimal():
            return attempt < self._attempts
        again = time.monotonic() + int(after)
        if again - began > self._patience_s:
            return False
        with self._lock:
            self._not_before = max(self._not_before, again)
        return True

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(max(seconds, 0)):
            raise NoAnswerError("The client was closed.")

    def _attempt(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | OSError | http.client.HTTPException:
        """Send a request once and return the response or the error."""
        target = self._parts.path.rstrip("/") + quote(path, safe="/?=&")
        if self._sign:
            headers = self._sign(
                method, f"{self._parts.scheme}://{self._parts.netloc}{target}", headers, body
            )
        connection = self._connection()
        # The far end may have dropped a kept connection meanwhile: that costs no attempt.
        for last in (False, True) if connection.sock else (True,):
            try:
                return _exchange(connection, method, target, headers, body)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if last or self._closed.is_set() or isinstance(error, TimeoutError):
                    return error
        raise AssertionError("the last attempt returns")

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._new_connection()
            with self._lock:
                self._connections.add(connection)
        return connection

    def _new_connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        proxy = None if proxy_bypass(host) else getproxies().get("https")
        if proxy is None:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s)
        via = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        tunnel = http.client.HTTPSConnection(via.hostname or "", via.port or 80, timeout=self._timeout_s)
        tunnel.set_tunnel(host, port, headers=_proxy_headers(via))
        return tunnel


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    """Return the credentials in a proxy's URL, where they are percent-encoded, as a header."""
    if proxy.username is None:
        return {}
    credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}


def _exchange(
    connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> Reply:
    with suppress(BrokenPipeError):  # a body that is too large may be answered before it is read
        connection.request(method, target, body=body or None, headers=dict(headers))
    answer = connection.getresponse()
    content = answer.read()
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)


def is_dicom(data: bytes) -> bool:
    """Whether a file begins as DICOM does."""
    return data[128:132] == b"DICM"


def without_header(image: bytes, *, frame: int | None = None) -> tuple[bytes, int | None]:
    """Return what is sent of an image, and of which frame: of a DICOM file, only `DICOM_TAGS`.

    The pixel data stay byte for byte. Of a file that has more than `MAX_IMAGE_BYTES`, only the frame is left.

    Raises
    ------
    ClientError
        If pydicom is missing, or the file cannot be read; it quotes nothing of the file.
    """
    if not is_dicom(image):
        if image.startswith(_BARE_DICOM):
            raise ClientError("The bytes are a DICOM data set without a file's preamble: save it as a file.")
        return image, frame
    if _DEFLATED in image:  # inflated, 600 KB can take 1.2 GB
        raise ClientError("The DICOM file is deflated, which is not supported: save it uncompressed.")
    try:
        with quiet_pydicom():
            return _stripped(image, frame)
    except ImportError:
        raise ClientError(
            "pydicom, which removes the header of a DICOM file, is missing: pip install pydicom, or pass "
            "keep_header=True to send the header too."
        ) from None
    except Exception:  # pydicom raises almost any, with words of the header
        raise ClientError("The DICOM file was not sent: it is broken, or of an unknown kind.") from None


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Let pydicom read what is not quite standard, and log and warn of nothing; one thread at a time."""
    from pydicom import config  # noqa: PLC0415 - only a DICOM file needs it

    with _pydicom_settings, config.disable_value_validation(), warnings.catch_warnings(action="ignore"):
        warnings.filterwarnings("error", ".* in file ")  # the file ends within an element
        config.logger.disabled = True
        try:
            yield
        finally:
            config.logger.disabled = False


def _stripped(data: bytes, frame: int | None) -> tuple[bytes, int | None]:
    from pydicom import dataset, dcmread, dcmwrite, encaps, uid  # noqa: PLC0415

    source = dcmread(BytesIO(data), specific_tags=list(DICOM_TAGS))
    syntax = uid.AllTransferSyntaxes[uid.AllTransferSyntaxes.index(source.file_meta.TransferSyntaxUID)]
    kept = _kept(source, DICOM_TAGS)
    kept.preamble, kept.file_meta = bytes(128), dataset.FileMetaDataset()
    kept.file_meta.FileMetaInformationGroupLength = 0  # pydicom counts
    kept.file_meta.TransferSyntaxUID = syntax
    frames = int(kept.get("NumberOfFrames") or 1)
    if frame and 1 <= frame <= frames and len(kept.get("PixelData", b"")) > MAX_IMAGE_BYTES:
        size = len(kept.PixelData) // frames
        one = kept.PixelData[size * (frame - 1) : size * frame]
        if syntax.is_encapsulated:
            one = encaps.encapsulate([encaps.get_frame(kept.PixelData, frame - 1, number_of_frames=frames)])
        kept.PixelData, kept.NumberOfFrames, frame = one, 1, None
        for name in {"ExtendedOffsetTable", "ExtendedOffsetTableLengths"} & set(kept.dir()):
            del kept[name]
    written = BytesIO()
    dcmwrite(written, kept)
    return written.getvalue(), frame


def _kept(source: Dataset, keywords: Sequence[str]) -> Dataset:
    """Return the elements of the standard's type and number of values: others could hold any text."""
    from pydicom import Dataset, datadict  # noqa: PLC0415

    kept = Dataset()
    for element in (source[keyword] for keyword in keywords if keyword in source):
        value, types = element.value, datadict.dictionary_VR(element.tag)
        if element.VR == "SQ":
            value = [_kept(item, ("LUTDescriptor", "LUTData")) for item in value]
        elif element.VR == "CS" and str(value) not in DICOM_TERMS:
            value = "UNKNOWN"
        count = datadict.dictionary_VM(element.tag)
        if element.VR in (types, *types.split(" or ")) and count in (str(element.VM), "1-n"):
            kept.add_new(element.tag, element.VR, value)
    return kept


def parsed(kind: type[T], body: bytes) -> T:
    """Return JSON as an instance of a dataclass, or of `dict`; unknown members are ignored.

    Raises
    ------
    MalformedAnswerError
        If it is not JSON, or a member is missing or of another type.
    """
    try:
        node = json.loads(body)
    except ValueError:
        raise MalformedAnswerError("The answer is not JSON.") from None
    return cast("T", _convert(kind, node, "answer"))


def _convert(kind: object, node: object, where: str) -> object:
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(node, dict):
        hints, members = get_type_hints(kind), {}
        for field in fields(kind):
            name = field.name.removesuffix("_")  # class_, as Python reserves the plain word
            if name in node:
                members[field.name] = _convert(hints[field.name], node[name], f"{where}.{name}")
            elif field.default is MISSING:
                raise MalformedAnswerError(f"{where} lacks {name}.")
        return kind(**members)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {UnionType, Union}:  # X | None
        return None if node is None else _convert(arguments[0], node, where)
    if origin is list and isinstance(node, list):
        return [_convert(arguments[0], each, where) for each in node]
    if kind == dict[str, str] and isinstance(node, dict):
        kind, node = dict, {name: _convert(str, each, f"{where}.{name}") for name, each in node.items()}
    if origin is Literal and node in arguments:
        return node
    if kind is float and isinstance(node, int | float) and not isinstance(node, bool):
        return float(node)
    if kind in {str, int, dict} and type(node) is kind:
        return node
    raise MalformedAnswerError(f"{where} is {str(node)[:100]!r}, expected {kind}.")

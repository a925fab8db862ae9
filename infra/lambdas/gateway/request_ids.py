"""Request ids with a short keyed check: an id that was never given is recognised without a database."""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import cached_property

from botocore.config import Config

from .aws import client

FORM = re.compile("[A-Za-z0-9-]{1,64}")
CHECK_DIGITS = 12  # hexadecimal: of 2.8e14 guesses one is right
# Short, as predictions wait for it: once in the life of an instance, unless it fails.
CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 1})


class RequestIds:
    """Adds the check and verifies it, with the key in a secret, which is read when it is first needed.

    Each method raises botocore's `BotoCoreError` or `ClientError` while the key cannot be read.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret

    @cached_property
    def _key(self) -> bytes:
        answer = client("secretsmanager", CONFIG).get_secret_value(SecretId=self._secret)
        return str(answer["SecretString"]).encode()

    def checked(self, plain: str) -> str:
        """Return an id with its check: at most 64 characters, as SageMaker's InferenceId."""
        digest = hmac.new(self._key, plain.encode(), hashlib.sha256).hexdigest()
        return f"{plain}-{digest[:CHECK_DIGITS]}"

    def given(self, request_id: str) -> bool:
        """Whether `checked` has made this id."""
        plain = request_id.rpartition("-")[0]
        return bool(FORM.fullmatch(request_id)) and hmac.compare_digest(self.checked(plain), request_id)

"""BentoML: a service class with one API that takes an image file as the body."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003 - BentoML reads the annotations
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from scripts.benchmark.peers import judge


@bentoml.service(workers=int(os.environ["BENCH_WORKERS"]))
class Judge:
    """Judges image files."""

    def __init__(self) -> None:
        """Load the network once a worker."""
        self._judge = judge.load()

    @bentoml.api  # type: ignore[untyped-decorator]  # it has no types here
    def predict(self, image: Annotated[Path, ContentType("image/*")], /) -> judge.Answer:
        """Judge the file that BentoML has written the body to."""
        return self._judge(image.read_bytes())

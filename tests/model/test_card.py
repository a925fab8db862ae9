"""The model card in the artifact."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from model.evaluation import plots
from model.release import model_card

if TYPE_CHECKING:
    from model.release.export import Artifact


@pytest.fixture(scope="module")
def text(artifact: Artifact) -> str:
    """The card without its plots."""
    return re.sub(r"!\[[^\]]*\]\([^)]*\)", "", artifact.card)


def table(text: str, section: str) -> list[list[str]]:
    """Cells of the rows below the head of a section's table."""
    (part,) = (each for each in text.split("\n## ") if each.startswith(section))
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_a_model_of_phantoms_is_marked_and_traceable(artifact: Artifact, text: str) -> None:
    title, _, warning, *_ = text.splitlines()
    assert title.endswith(", trained on phantoms")
    assert warning.startswith("> **Trained on drawings.**")
    assert "Not a medical device" in text
    assert "**Trained on one source**" in text.split("\n## ")[1]
    assert "were developed on this data set" in text.split("## Limits")[1]
    assert "the uploader" not in text  # the label noise of real images
    assert f"`{artifact.metadata['dataset']['fingerprint']}`" in text
    assert f"`{artifact.metadata['mlflow']['run_id']}`" in text


def test_every_metric_is_shown_with_its_interval(artifact: Artifact, text: str) -> None:
    metrics = artifact.metadata["metrics"]
    shown = {title: (value, interval) for title, value, interval in table(text, "Metrics")}
    assert set(shown) == set(model_card.TITLES.values())
    for name, title in model_card.TITLES.items():
        value, low, high = (f"{metrics[f'{name}{bound}']:.3f}" for bound in ("", "_low", "_high"))
        assert shown[title] == (value, f"{low} to {high}")


def test_the_network_and_the_metadata_forest_are_compared(text: str) -> None:
    assert {row[0] for row in table(text, "Comparison")} == {"`efficientnet_lite0`", "metadata-only forest"}


def test_its_only_images_are_its_plots(artifact: Artifact, text: str) -> None:
    shown = dict(re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", artifact.card))
    assert list(shown) == [plots.TITLES[name] for name in ("roc", "calibration")]
    for address in shown.values():
        kind, _, encoded = address.partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
            assert (image.format, min(image.size) > 200) == ("PNG", True)
    assert not re.search(r"<img|data:|\{|\}|\bnan\b|\bNone\b", text)

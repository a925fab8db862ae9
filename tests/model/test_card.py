"""The model card as it travels in the artifact."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING

import mlflow
import pytest
from PIL import Image

from model import card, plots
from model.export import export

if TYPE_CHECKING:
    from model.export import Artifact
    from model.metadata import PretrainingFacts
    from model.registry import Champion

SECTIONS = (
    "Intended use",
    "Data and split",
    "Figures",
    "Compared with",
    "The same images in another guise",
    "Parts of the data",
    "Worst mistakes",
    "What it refuses",
    "Network and decision",
    "Limits",
)


@pytest.fixture(scope="module")
def artifact(champion: Champion, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export(champion, to=tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def text(artifact: Artifact) -> str:
    return artifact.card


@pytest.fixture(scope="module")
def words(text: str) -> str:
    """The card without its plots."""
    return re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)


def pictures(text: str) -> dict[str, str]:
    """Title and address of every picture in a card, in either of Markdown's ways to show one."""
    assert "<img" not in text
    return dict(re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", text))


def table(words: str, section: str) -> list[list[str]]:
    """Cells of the rows below the head of a section's table."""
    (part,) = (each for each in words.split("\n## ") if each.startswith(section))
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_its_sections_come_in_their_order(words: str) -> None:
    assert tuple(re.findall(r"^## (.*)$", words, flags=re.MULTILINE)) == SECTIONS


def test_it_is_short_enough_to_read(text: str) -> None:
    assert len(text.splitlines()) < 400


def test_a_model_of_phantoms_says_so_at_once(words: str) -> None:
    title, _, warning, *_ = words.splitlines()
    assert title.endswith(", trained on drawn phantoms")
    assert warning.startswith("> **Trained on drawings.**")


def test_what_must_not_be_overlooked_is_said(words: str) -> None:
    assert "Not a medical device" in words
    assert "same\n  data set" in words.split("## Limits")[1]  # the choices that the folds do not know of


def test_the_known_label_noise_is_told_of_real_images_only(words: str) -> None:
    assert "says the uploader" not in words


def test_every_figure_is_shown_with_its_interval(artifact: Artifact, words: str) -> None:
    metrics = artifact.metadata["metrics"]
    shown = {title: (value, interval) for title, value, interval in table(words, "Figures")}
    assert set(shown) == set(card.NAMES.values())
    for name, title in card.NAMES.items():
        value, low, high = (f"{metrics[f'{name}{bound}']:.3f}" for bound in ("", "_low", "_high"))
        assert shown[title] == (value, f"{low} to {high}")


def test_every_architecture_and_baseline_is_compared(champion: Champion, words: str) -> None:
    report = mlflow.artifacts.load_dict(f"runs:/{champion.run_id}/report.json")
    named = [row[0] for row in table(words, "Compared with")]
    assert {"`plain_cnn`", "`efficientnet_lite0`", *report["baselines"]} <= set(named)
    assert "careless split" in named[-1]


def test_the_data_set_is_named_by_its_fingerprint(artifact: Artifact, words: str) -> None:
    assert f"`{artifact.metadata['dataset']['fingerprint']}`" in words
    assert f"`{artifact.metadata['mlflow']['run_id']}`" in words


def test_its_plots_are_inside(text: str) -> None:
    shown = pictures(text)
    assert list(shown) == [plots.TITLES[name] for name in ("roc", "calibration", "comparison")]
    for address in shown.values():
        kind, _, encoded = address.partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
            assert (image.format, min(image.size) > 200) == ("PNG", True)


def test_no_other_picture_and_no_unfilled_place_is_in_it(text: str, words: str) -> None:
    assert text.count("data:image") == len(pictures(text))
    assert not re.search(r"data:|\{|\}|\bnan\b|\bNone\b", words)


def test_the_run_holds_the_same_card(champion: Champion, text: str) -> None:
    assert mlflow.artifacts.load_text(f"runs:/{champion.run_id}/serving/model-card.md") == text


def test_what_it_learnt_from_before_is_told(artifact: Artifact) -> None:
    before: PretrainingFacts = {
        "name": "others", "fingerprint": "f" * 64, "images": 70, "copies": 3, "types": ["a", "b"],
    }  # fmt: skip
    text = card._data({**artifact.metadata, "pretraining": before})
    assert "learnt from 70 images of `others`" in text
    assert "a, b" in text
    assert "3 more were left out" in text
    assert "Before" not in card._data(artifact.metadata)

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from model import card, gates
from model.export import export

if TYPE_CHECKING:
    from pathlib import Path

    from model.metadata import Metadata
    from model.registry import Champion


@pytest.fixture(scope="module")
def metadata(champion: Champion, tmp_path_factory: pytest.TempPathFactory) -> Metadata:
    folder: Path = tmp_path_factory.mktemp("card")
    return export(champion, to=folder).metadata


def of_images(metadata: Metadata) -> Metadata:
    return {**metadata, "dataset": {**metadata["dataset"], "kind": "images", "name": "brain_mri"}}


def test_the_card_in_the_artifact_is_the_one_of_its_metadata(
    champion: Champion, metadata: Metadata, tmp_path: Path
) -> None:
    assert export(champion, to=tmp_path).card == card.write(metadata)


def test_a_model_of_phantoms_says_so_in_its_title(metadata: Metadata) -> None:
    title, *_ = card.write(metadata).splitlines()
    assert "trained on drawn phantoms" in title
    assert "phantom" not in card.write(of_images(metadata)).splitlines()[0].removeprefix(
        f"# Model card: {metadata['name']}"
    )


@pytest.mark.parametrize("name", card.FIGURES)
def test_every_figure_is_shown_with_its_interval(metadata: Metadata, name: str) -> None:
    metrics = metadata["metrics"]
    value, low, high = (f"{metrics[f'{name}{bound}']:.3f}" for bound in ("", "_low", "_high"))
    assert f"| {value} | {low} to {high} |" in card.write(metadata)


@pytest.mark.parametrize(
    "said",
    [
        "Not a medical device",
        "Intended use",
        "threshold",
        "Fingerprint",
        "independent groups",
        "commoner class",
    ],
)
def test_what_a_reader_must_know_is_said(metadata: Metadata, said: str) -> None:
    assert said in card.write(of_images(metadata))


def test_the_known_label_noise_is_told_of_real_images_only(metadata: Metadata) -> None:
    assert "no tumour, says the uploader" in card.write(of_images(metadata))
    assert "uploader" not in card.write(metadata)


def test_no_image_and_no_unfilled_place_is_in_the_card(metadata: Metadata) -> None:
    written = card.write(metadata)
    assert not re.search(r"!\[|<img|data:image|\{|\}|\bnan\b", written)


def champion_with(champion: Champion, **metrics: float) -> Champion:
    good = {"balanced_accuracy_low": 0.7, "sensitivity": 0.9, "specificity": 0.8}
    return type(champion)(**{**vars(champion), "metrics": good | metrics})


def test_a_good_model_passes_every_gate(champion: Champion) -> None:
    outcomes = gates.evaluate(champion_with(champion))
    assert [outcome["name"] for outcome in outcomes if not outcome["passed"]] == []


@pytest.mark.parametrize(
    ("metric", "value", "gate"),
    [
        ("balanced_accuracy_low", 0.49, "beats_majority"),
        ("balanced_accuracy_low", float("nan"), "beats_majority"),
        ("sensitivity", 0.79, "sensitivity"),
        ("specificity", 0.59, "specificity"),
    ],
)
def test_a_gate_stops_what_falls_short_of_it_alone(
    champion: Champion, metric: str, value: float, gate: str
) -> None:
    outcomes = gates.evaluate(champion_with(champion, **{metric: value}))
    failed = [outcome for outcome in outcomes if not outcome["passed"]]
    assert [outcome["name"] for outcome in failed] == [gate]
    assert f"{value:.3f} is not above" in failed[0]["detail"]

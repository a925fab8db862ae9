"""What people say of answers, by page, client and CSV, becomes live figures; no image or note is logged."""

from __future__ import annotations

import base64
import csv
import re
from typing import TYPE_CHECKING, cast

import pytest
from playwright.sync_api import expect

from model.data import phantom
from scripts.client import Client
from tests.e2e.watched import SOURCES, watching
from tests.gateway.visit import Visit, file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Literal

    from playwright.sync_api import Page

    from tests.e2e.conftest import Demo
    from tests.e2e.watched import Watched

ANSWERS, BY_PAGE, BY_CLIENT, BY_CSV = 100, 4, 28, 28
REQUEST_ID = re.compile(r"[0-9a-f-]{36}-[0-9a-f]{12}")
NOTE = "The note of label"
BUTTONS = {"YES": "A tumour", "NO": "No tumour"}


@pytest.fixture
def watched(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    with watching(demo, monkeypatch) as found:
        yield found


def shown(number: int) -> str:
    """Return what the person says of an image: most often what was drawn."""
    lesion = number % 2 == 0
    return "YES" if lesion != (number % 7 == 0) else "NO"


def label_on_page(page: Page, url: str, images: Sequence[bytes]) -> dict[str, str]:
    """Hand images to the page, press a button under each answer, and return the answers by their ids."""
    visit, answers = Visit(page, url), {}
    visit.submit(*(file(f"{number}.png", content=image) for number, image in enumerate(images)))
    expect(page.locator("#summary")).to_contain_text(f"{len(images)} of {len(images)} done")
    for number in range(len(images)):
        page.locator(".thumb").nth(number).click()
        page.get_by_role("button", name=BUTTONS[shown(number)]).click()
        expect(page.locator("#feedback-status")).to_contain_text("Noted")
        [id_] = REQUEST_ID.findall(page.locator("#source").inner_text())
        answers[id_] = page.locator("#label").inner_text()
    return answers


def share(answers: dict[str, str], labels: dict[str, str], of: str) -> float:
    """Return the share of right answers among the images of a label."""
    right = [answers[id_] == label for id_, label in labels.items() if label == of]
    return sum(right) / len(right)


def test_labels_by_page_client_and_csv_are_live_figures_and_no_log_has_an_image_or_a_note(
    demo: Demo, watched: Watched, page: Page, tmp_path: Path
) -> None:
    # Given 100 predictions, some of them by the page
    watched.forget()
    drawn = [phantom.png(seed=80_000 + number, lesion=number % 2 == 0) for number in range(ANSWERS + 20)]
    predicted = {
        number: (str(each["request_id"]), str(each["label"]))
        for number, each in enumerate(watched.predict(drawn))
        if "label" in each
    }
    chosen = dict(list(predicted.items())[: ANSWERS - BY_PAGE])
    answers = dict(chosen.values())
    on_page = label_on_page(page, demo.url, [drawn[number] for number in range(BY_PAGE)])
    labels = {id_: shown(number) for number, id_ in enumerate(on_page)}
    answers |= on_page
    assert len(answers) == ANSWERS

    # When 60 are labelled: by the page already, by the client, and by a CSV file
    rest = [(id_, shown(number)) for number, (id_, _) in chosen.items()][: BY_CLIENT + BY_CSV]
    client = Client(demo.url)
    for number, (id_, label) in enumerate(rest[:BY_CLIENT]):
        client.label(id_, cast("Literal['NO', 'YES']", label), f"{NOTE} {number}")
    client.close()
    sent = tmp_path / "labels.csv"
    with sent.open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["request_id", "label", "note"])
        rows.writerows((id_, label, f"{NOTE} {id_}") for id_, label in rest[BY_CLIENT:])
    done = demo.run("scripts/predict", "--labels", str(sent))
    assert f"{BY_CSV} labels: {BY_CSV} sent, 0 not" in done.stderr
    labels |= dict(rest)
    assert len(labels) == 60

    # Then the live figures are those of these labels
    for by in SOURCES:
        _, report = watched.monitor(by)
        [model] = report["models"]
        found = model["accuracy"]
        assert found["labelled"] == len(labels)
        assert found["sensitivity"]["value"] == pytest.approx(share(answers, labels, "YES"))
        assert found["specificity"]["value"] == pytest.approx(share(answers, labels, "NO"))
        assert found["wrong"] == sorted(id_ for id_, label in labels.items() if answers[id_] != label)
        assert found["disputed"] == []
        assert NOTE not in str(report)
    assert 0.5 < share(answers, labels, "YES") < 1
    # And no log has a note, or a part of an image
    logs = watched.logs()
    assert all(logs.count(id_) for id_ in labels)
    assert NOTE not in logs
    assert not [part for image in drawn for part in parts(image) if part in logs]


def parts(image: bytes) -> list[str]:
    """Return text that a log would have with the image in it: as bytes, or as base64 at any offset."""
    begin = len(image) // 2
    inside = [base64.b64encode(image[begin + offset : begin + offset + 30]).decode() for offset in range(3)]
    return ["IHDR", base64.b64encode(image[:12]).decode(), *inside]

"""Every state of the page, reached as a person reaches it, with phantoms and made-up answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from playwright.sync_api import expect

from model.data import phantom
from tests.dicom_files import dicom
from tests.gateway.conftest import MODEL
from tests.gateway.label_store import FEEDBACK
from tests.gateway.sagemaker import LOW, FakeSageMaker, error, prediction
from tests.gateway.sagemaker import refusal as refusal_reply
from tests.gateway.visit import Visit, file
from tests.http_server import Reply

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload

THRESHOLD = 0.41
GRID = 10
SLOW = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 60_000}
SCORED: dict[str, Any] = {
    "detail": "The image does not look like a brain MRI: its score is 0.02, at least 0.37 is needed. "
    "Send one whole slice, uncropped, exported as JPEG or PNG.",
    "score": 0.0213,
    "score_threshold": 0.37,
}
FORCED = {**MODEL, "kind": "phantom", "name": "tumor-detector-phantom", "gates_failed": ["beats_metadata"]}
SIGN_IN = {"address": "https://sign-in.example", "client_id": "the-page", "scope": "tumor-detector/predict"}

Steps = Callable[[Visit, FakeSageMaker], None]
Shot = tuple[str, int]
"""The theme and width of a screenshot."""


@dataclass(frozen=True)
class UiState:
    """The steps that lead to a state, its screenshots, and the deployment's environment."""

    steps: Steps
    shots: tuple[Shot, ...]
    environment: Mapping[str, str]


UI_STATES: dict[str, UiState] = {}


def ui_state(name: str, *shots: Shot, **environment: str) -> Callable[[Steps], Steps]:
    """Add the state that the decorated steps lead to."""

    def add(steps: Steps) -> Steps:
        UI_STATES[name] = UiState(steps, shots, environment)
        return steps

    return add


def heatmap(seed: int, *, lesion: bool) -> dict[str, object]:
    """Return a made-up heatmap, warm where the lesion changes the phantom and empty without one."""
    with_it, without = (
        np.asarray(phantom.draw(seed=seed, lesion=both).resize((GRID, GRID), Image.Resampling.BOX), float)
        for both in (lesion, False)
    )
    change = np.abs(with_it - without)
    share = change / max(change.max(), 8.0)
    values = np.where(share > 0.15, share, 0)
    return {"width": GRID, "height": GRID, "values": np.round(values, 3).tolist()}


def phantom_scan(seed: int, *, lesion: bool) -> FilePayload:
    return file(f"phantom-{seed}.png", content=phantom.png(seed=seed, lesion=lesion, size=300))


def answered_scan(sagemaker: FakeSageMaker, seed: int, probability: float, **others: object) -> FilePayload:
    """Return a phantom for which the endpoint predicts the probability, with other members."""
    yes = probability >= THRESHOLD
    members = {"label": "YES" if yes else "NO", "class": int(yes), "threshold": THRESHOLD}
    scan = phantom_scan(seed, lesion=yes)
    sagemaker.by_image[scan["buffer"]] = prediction(
        **members, **others, probability=probability, heatmap=heatmap(seed, lesion=yes)
    )
    return scan


def chart() -> FilePayload:
    """Draw a bar chart, which is not a brain MRI."""
    image = Image.new("L", (300, 300), 245)
    for at, height in enumerate((70, 150, 110, 220, 180)):
        image.paste(90, (35 + 48 * at, 270 - height, 67 + 48 * at, 270))
    content = io.BytesIO()
    image.save(content, "PNG")
    return file("chart.png", content=content.getvalue())


@ui_state("empty", ("light", 1280))
@ui_state("phantom", ("light", 1280), MODEL=json.dumps(FORCED))
@ui_state("api-key", ("dark", 1280), AUTH="api_key")
@ui_state("iam", ("dark", 1280), AUTH="iam")
@ui_state("cognito", ("light", 1280), AUTH="cognito", SIGN_IN=json.dumps(SIGN_IN))
def empty(visit: Visit, _sagemaker: FakeSageMaker) -> None:
    visit.open()


@ui_state("docs")
def docs(visit: Visit, _sagemaker: FakeSageMaker) -> None:
    visit.page.goto(f"{visit.url}/docs")


@ui_state("card")
def card(visit: Visit, _sagemaker: FakeSageMaker) -> None:
    visit.page.goto(f"{visit.url}/model-card")


@ui_state("sending", ("light", 1280))
def sending(visit: Visit, _sagemaker: FakeSageMaker) -> None:
    visit.open()
    network = visit.page.context.new_cdp_session(visit.page)
    network.send("Network.emulateNetworkConditions", SLOW)
    visit.choose(file("phantom-3-large.png", content=phantom.png(seed=3, lesion=True, size=1100)))
    expect(visit.page.locator("#activity")).to_have_text("Sending the image…")
    visit.wait_until(lambda: visit.page.locator("#progress").evaluate("it => it.value") > 0.2)


@ui_state("predicting", ("dark", 1280))
def predicting(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=8)
    visit.submit(phantom_scan(3, lesion=True))
    expect(visit.page.locator("#activity")).to_have_text("Classifying…")


@ui_state("starting", ("dark", 1280))
def starting(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.status = "Creating"
    sagemaker.default = error("ModelNotReadyException", status=429)
    visit.submit(phantom_scan(3, lesion=True))
    expect(visit.page.get_by_role("button", name="Try now")).to_be_visible()


@ui_state("yes", ("light", 1280), ("dark", 320))
def yes(visit: Visit, sagemaker: FakeSageMaker) -> None:
    visit.classify(answered_scan(sagemaker, 3, 0.93))


@ui_state("label-noted", **FEEDBACK)
def noted(visit: Visit, sagemaker: FakeSageMaker) -> None:
    visit.classify(answered_scan(sagemaker, 3, 0.93))
    visit.page.get_by_role("button", name="No tumour").click()
    expect(visit.page.get_by_text("Noted: no tumour. Thank you.")).to_be_visible()


@ui_state("side-by-side", ("light", 1280))
def side_by_side(visit: Visit, sagemaker: FakeSageMaker) -> None:
    visit.classify(answered_scan(sagemaker, 4, 0.58, **LOW))
    visit.page.get_by_label("Side by side").check()


@ui_state("no", ("dark", 1280))
def no(visit: Visit, sagemaker: FakeSageMaker) -> None:
    visit.classify(answered_scan(sagemaker, 8, 0.084), label="NO")
    visit.page.get_by_text("What do these numbers mean?").click()


@ui_state("refusal", ("light", 1280))
def refusal(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = refusal_reply(**SCORED)
    visit.submit(chart())
    expect(visit.page.locator("#refusal")).to_be_visible()


@ui_state("problem", ("light", 1280))
def problem(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = error("InternalFailure", status=500)
    visit.submit(phantom_scan(3, lesion=True))
    visit.expect_problem("The model failed", "failed")


@ui_state("no-image", ("dark", 320))
def no_image(visit: Visit, _sagemaker: FakeSageMaker) -> None:
    visit.submit(file(f"{'a-very-long-name' * 12}.txt", "text/plain", b"no image"))
    visit.expect_problem("Unsupported file", "text/plain")


@ui_state("several", ("light", 1280), ("dark", 3840))
def several(visit: Visit, sagemaker: FakeSageMaker) -> None:
    probabilities = (0.93, 0.71, 0.02, 0.084, 0.58, 0.31)
    scans = [answered_scan(sagemaker, seed, each) for seed, each in enumerate(probabilities, start=3)]
    sagemaker.default = refusal_reply(**SCORED)
    visit.submit(*scans, chart(), file("report.gif", "image/gif", b"GIF89a"))
    expect(visit.page.locator("#summary")).to_contain_text("8 of 8 done")


@ui_state("in-progress", ("dark", 1280))
def in_progress(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=8)
    scans = [answered_scan(sagemaker, seed, each) for seed, each in enumerate((0.12, 0.87, 0.05), start=3)]
    visit.submit(*scans, *(phantom_scan(seed, lesion=seed % 2 == 0) for seed in (6, 7, 8)))
    expect(visit.page.locator("#summary")).to_contain_text("3 of 6 done")
    visit.page.locator(".thumb").nth(3).click()


@ui_state("dicom", ("light", 1280))
def dicom_frames(visit: Visit, sagemaker: FakeSageMaker) -> None:
    slices = np.stack([np.asarray(phantom.draw(seed=3, lesion=lesion, size=300)) for lesion in (False, True)])
    sagemaker.default = prediction(heatmap=heatmap(3, lesion=True))
    visit.submit(file("IM0001", "", dicom(slices)))
    visit.expect_problem("Several frames", "2 frames")
    visit.page.get_by_role("spinbutton").fill("2")
    visit.page.get_by_role("button", name="Classify", exact=True).click()
    visit.expect_answer("YES")


@ui_state("history", ("light", 1280))
def history(visit: Visit, sagemaker: FakeSageMaker) -> None:
    visit.open()
    visit.page.get_by_label("Remember answers").check()
    for count, (seed, probability) in enumerate(((3, 0.1), (4, 0.71), (5, 0.1)), start=1):
        visit.choose(answered_scan(sagemaker, seed, probability))
        expect(visit.page.locator("#entry-rows tr")).to_have_count(count)
    visit.page.get_by_role("button", name="Remove all").click()

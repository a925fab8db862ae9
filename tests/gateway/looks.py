"""Every state of the page, as a person gets there; images are phantoms, and answers drawn along with them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from playwright.sync_api import expect

from model import phantom
from tests.gateway.conftest import MODEL
from tests.gateway.sagemaker import PREDICTION, Reply, error, model_error
from tests.gateway.visit import file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from playwright.sync_api import FilePayload

    from tests.gateway.sagemaker import FakeSageMaker
    from tests.gateway.visit import Visit

THRESHOLD = 0.41
GRID = 10
SLOW = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 60_000}
RULE = "The image is blank or nearly so: there is no brain to be seen."
SCORED = {
    "detail": "The image does not look like a brain MRI: its score is 0.02, at least 0.37 is needed. "
    "Send one whole slice, uncropped, exported as JPEG or PNG.",
    "score": 0.0213,
    "score_threshold": 0.37,
}


@dataclass(frozen=True)
class Look:
    """A state of the page: what leads to it, and how the deployment is that can come to it."""

    reach: Callable[[Visit, FakeSageMaker], None]
    environment: Mapping[str, str] = field(default_factory=dict)


def heatmap(seed: int, *, lesion: bool) -> dict[str, object]:
    """Return a drawn heatmap: warm where the same head without the lesion is darker or lighter."""
    with_it, without = (
        np.asarray(phantom.draw(seed=seed, lesion=both).resize((GRID, GRID), Image.Resampling.BOX), float)
        for both in (lesion, False)
    )
    change = np.abs(with_it - without)
    share = change / max(change.max(), 8.0)
    values = np.where(share > 0.15, THRESHOLD + (1 - THRESHOLD) * share, THRESHOLD * (0.72 + share))
    return {"width": GRID, "height": GRID, "values": np.round(values, 3).tolist()}


def answer(seed: int, *, lesion: bool, probability: float) -> Reply:
    yes = probability >= THRESHOLD
    told = {"label": "YES" if yes else "NO", "class": int(yes), "probability": probability}
    drawn = {"heatmap": heatmap(seed, lesion=lesion), "threshold": THRESHOLD}
    return Reply(body=json.dumps({**PREDICTION, **told, **drawn}).encode())


def scan(seed: int, *, lesion: bool, name: str = "") -> FilePayload:
    content = phantom.png(seed=seed, lesion=lesion, size=300)
    return file(name or f"phantom-{seed}.png", content=content)


def chart() -> bytes:
    """Draw what is no brain MRI: bars."""
    image = Image.new("L", (300, 300), 245)
    for at, height in enumerate((70, 150, 110, 220, 180)):
        image.paste(90, (35 + 48 * at, 270 - height, 67 + 48 * at, 270))
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def empty(visit: Visit, _sagemaker: FakeSageMaker) -> None:
    visit.open()


def sending(visit: Visit, _sagemaker: FakeSageMaker) -> None:
    visit.open()
    network = visit.page.context.new_cdp_session(visit.page)
    network.send("Network.emulateNetworkConditions", SLOW)
    visit.choose(file("phantom-3-large.png", content=large()))
    expect(visit.page.locator("#doing")).to_have_text("Sending the image…")
    visit.wait_until(lambda: visit.page.locator("#progress").evaluate("it => it.value") > 0.2)


def large() -> bytes:
    """Draw a phantom whose file takes a while on a slow network."""
    return phantom.png(seed=3, lesion=True, size=1100)


def looking(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=8)
    visit.open()
    visit.choose(scan(3, lesion=True))
    expect(visit.page.locator("#doing")).to_have_text("The model is looking…")


def waking(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.status = "Creating"
    sagemaker.default = error("ModelNotReadyException", status=429)
    visit.open()
    visit.choose(scan(3, lesion=True))
    expect(visit.page.get_by_role("button", name="Try now")).to_be_visible()


def yes(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = answer(3, lesion=True, probability=0.93)
    visit.open()
    visit.choose(scan(3, lesion=True))
    visit.expect_answer("YES")


def no(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = answer(8, lesion=False, probability=0.084)
    visit.open()
    visit.choose(scan(8, lesion=False))
    visit.expect_answer("NO")
    visit.page.get_by_text("What do these numbers mean?").click()


def beside(visit: Visit, sagemaker: FakeSageMaker) -> None:
    yes(visit, sagemaker)
    visit.page.get_by_label("Side by side").check()


def refusal(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = model_error(422, json.dumps(SCORED))
    visit.open()
    visit.choose(file("chart.png", content=chart()))
    expect(visit.page.locator("#refusal")).to_be_visible()


def problem(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = error("InternalFailure", status=500)
    visit.open()
    visit.choose(scan(3, lesion=True))
    visit.expect_problem("The model failed", "failed")


def several(visit: Visit, sagemaker: FakeSageMaker) -> None:
    chances = (0.93, 0.71, 0.02, 0.084, 0.58, 0.31)
    given = []
    for seed, chance in enumerate(chances, start=3):
        one = scan(seed, lesion=chance > THRESHOLD)
        sagemaker.answers[one["buffer"]] = answer(seed, lesion=chance > THRESHOLD, probability=chance)
        given.append(one)
    picture = file("chart.png", content=chart())
    sagemaker.answers[picture["buffer"]] = model_error(422, json.dumps(SCORED))
    visit.open()
    visit.choose(*given, picture, file("report.gif", "image/gif", b"GIF89a"))
    expect(visit.page.locator("#tally")).to_contain_text("8 of 8 through")


def under_way(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=8)
    given = [scan(seed, lesion=seed % 2 == 0) for seed in range(3, 9)]
    for seed, chance in zip((3, 4, 5), (0.12, 0.87, 0.05), strict=True):
        told = answer(seed, lesion=chance > THRESHOLD, probability=chance)
        sagemaker.answers[given[seed - 3]["buffer"]] = told
    visit.open()
    visit.choose(*given)
    expect(visit.page.locator("#tally")).to_contain_text("3 of 6 through")
    visit.page.locator(".thumb").nth(3).click()


def history(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.replies.extend(
        answer(seed, lesion=seed == 4, probability=0.71 if seed == 4 else 0.1) for seed in (3, 4, 5)
    )
    visit.open()
    visit.page.get_by_label("Remember answers").check()
    for seed in (3, 4, 5):
        visit.choose(scan(seed, lesion=seed == 4))
        expect(visit.page.locator("#past-rows tr")).to_have_count(seed - 2)
    visit.page.get_by_role("button", name="Remove all").click()


def no_mri(visit: Visit, _sagemaker: FakeSageMaker) -> None:
    visit.open()
    visit.choose(file("notes.txt", "text/plain", b"no image"))
    visit.expect_problem("Not a JPEG or PNG", "text/plain")


def docs(visit: Visit, _sagemaker: FakeSageMaker) -> None:
    visit.page.goto(f"{visit.url}/docs")


def card(visit: Visit, _sagemaker: FakeSageMaker) -> None:
    visit.page.goto(f"{visit.url}/model-card")


FORCED = {**MODEL, "kind": "phantom", "name": "tumor-detector-phantom", "gates_failed": ["beats_metadata"]}
SIGN_IN = {"address": "https://sign-in.example", "client_id": "the-page", "scope": "tumor-detector/predict"}

LOOKS: dict[str, Look] = {
    "empty": Look(empty),
    "sending": Look(sending),
    "looking": Look(looking),
    "waking": Look(waking),
    "yes": Look(yes),
    "no": Look(no),
    "beside": Look(beside),
    "refusal": Look(refusal),
    "problem": Look(problem),
    "no-image": Look(no_mri),
    "several": Look(several),
    "under-way": Look(under_way),
    "history": Look(history),
    "phantom": Look(empty, {"MODEL": json.dumps(FORCED)}),
    "api-key": Look(empty, {"AUTH": "api_key"}),
    "iam": Look(empty, {"AUTH": "iam"}),
    "cognito": Look(empty, {"AUTH": "cognito", "SIGN_IN": json.dumps(SIGN_IN)}),
    "docs": Look(docs),
    "card": Look(card),
}

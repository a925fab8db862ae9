"""DICOM files in the page in Chromium: what is sent of them, and what is shown."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom.data
import pytest
from PIL import Image
from playwright.sync_api import expect
from pydicom import dcmread, uid

from container import dicom as container
from container.problem import Problem
from model.data import phantom
from tests.dicom_files import MARKER, NATIVE, assert_stripped, broken, dicom, planted
from tests.gateway.sagemaker import HEATMAP, attributes, prediction
from tests.gateway.visit import draw, file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.gateway.sagemaker import FakeSageMaker
    from tests.gateway.visit import Visit

SLICE = phantom.draw(seed=3, lesion=True, size=120)
BIG = uid.ExplicitVRBigEndian

# The levels of grey of the shown image, rows from the top.
PIXELS = """async (image) => {
  await image.decode();
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.width, canvas.height, [...data].filter((_, at) => at % 4 === 0)];
}"""
STRIP = """async (base64) => {
  await loadDicom();
  const file = new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], "a.dcm");
  try {
    const sent = new Uint8Array(await (await readDicom({ file })).arrayBuffer());
    return btoa(sent.reduce((text, each) => text + String.fromCharCode(each), ""));
  } catch ({ title }) {
    if (title) return null;
    throw new Error("a problem has a title");
  }
}"""


def shown(visit: Visit) -> NDArray[np.int64]:
    """Return the grey levels of the image in view, (rows, columns)."""
    image = visit.page.locator("#image")
    expect(image).to_be_visible()
    width, height, levels = image.evaluate(PIXELS)
    return np.array(levels).reshape(height, width)


def decoded(data: bytes, frame: int | None = None) -> NDArray[np.int64]:
    return np.asarray(container.read(data, frame=frame), dtype=int)


def outcome(data: bytes) -> tuple[str, bytes]:
    """Return what the container makes of a file: its image, or its refusal."""
    try:
        return "image", container.read(data).tobytes()
    except Problem as problem:
        return problem.detail, b""


@pytest.mark.parametrize(
    ("written", "drawn"),
    [
        ({"bits": 8}, True),
        ({"bits": 8, "photometric": "MONOCHROME1", "syntax": uid.ImplicitVRLittleEndian}, True),
        ({"bits": 8, "syntax": uid.ExplicitVRBigEndian}, False),  # its bytes may be swapped
        ({"photometric": "MONOCHROME1", "PixelPaddingValue": 7}, True),
        ({"bits": 16, "PixelPaddingValue": 7}, True),
        ({"signed": True, "RescaleSlope": "-1.5", "RescaleIntercept": "0"}, True),
        ({"signed": True, "PixelPaddingValue": -505, "syntax": uid.ImplicitVRLittleEndian}, True),
        ({"bits": 16, "signed": True, "PresentationLUTShape": "INVERSE", "syntax": BIG}, True),
        ({"bits": 16, "WindowCenter": "5", "WindowWidth": "1"}, True),
    ],
)
def test_a_plain_file_is_drawn_as_the_model_sees_it(
    visit: Visit, sagemaker: FakeSageMaker, written: dict[str, Any], drawn: bool
) -> None:
    sent = dicom(SLICE, **written)
    visit.classify(file("IM0001", "", sent))
    (call,) = sagemaker.calls
    assert ("preview" in attributes(call)) != drawn
    assert (decoded(call.body) == decoded(sent)).all()
    if drawn:
        assert np.abs(shown(visit) - decoded(sent)).max() <= 1


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.RLELossless, uid.JPEG2000Lossless])
def test_a_compressed_file_is_shown_by_the_answers_preview(
    visit: Visit, sagemaker: FakeSageMaker, syntax: str
) -> None:
    # Given an answer with a white preview of the lower right
    white = io.BytesIO()
    Image.new("L", (8, 8), 255).save(white, "PNG")
    box = [40, 60, SLICE.width, SLICE.height]
    preview = {"png": base64.b64encode(white.getvalue()).decode(), "box": box}
    sagemaker.default = prediction(preview=preview, heatmap=HEATMAP)
    sent = dicom(SLICE, syntax=syntax)

    # When a compressed file is classified
    visit.classify(file("scan.dcm", "application/dicom", sent))

    # Then the preview lies where it belongs, under the heatmap
    assert attributes(sagemaker.calls[0])["preview"] == "true"
    assert dcmread(io.BytesIO(sagemaker.calls[0].body)).PixelData == dcmread(io.BytesIO(sent)).PixelData
    picture = shown(visit)
    assert picture.shape == (SLICE.height, SLICE.width)
    assert (picture[62:, 42:] == 255).all()
    assert (picture[:58] == 0).all()
    assert (picture[:, :38] == 0).all()
    expect(visit.page.locator("#heatmap")).to_be_visible()
    assert visit.box("#heatmap") == visit.box("#image")
    expect(visit.page.locator("#undisplayable")).to_be_hidden()


def test_a_frame_is_chosen_from_several(visit: Visit, sagemaker: FakeSageMaker) -> None:
    # Given a file of three frames
    frames = np.stack([np.asarray(SLICE), 255 - np.asarray(SLICE), np.asarray(SLICE)[::-1]])
    sent = dicom(frames)
    visit.open()
    visit.page.get_by_label("Remember answers").check()
    visit.choose(file("series.dcm", "", sent), file("slice.png"))

    # Then the page asks which one, sends nothing of it, and shows the first
    visit.expect_problem("Several frames", "This file has 3 frames")
    expect(visit.page.locator("#summary")).to_have_text("2 of 2 done · 1 YES · 1 failed")
    assert len(sagemaker.calls) == 1
    assert np.abs(shown(visit) - decoded(sent, 1)).max() <= 1
    number = visit.page.get_by_role("spinbutton", name="Frame of 3")
    classify = visit.page.get_by_role("button", name="Classify", exact=True)
    for impossible in ("0", "4", "1.5", ""):
        number.fill(impossible)
        classify.click()
    assert len(sagemaker.calls) == 1

    # When one is chosen, it is shown and classified, under its own name
    number.fill("2")
    number.press("Enter")
    visit.expect_answer("YES")
    assert attributes(sagemaker.calls[-1])["frame"] == "2"
    for place in ("#caption", "#rows", "#entry-rows"):
        expect(visit.page.locator(place)).to_contain_text("series.dcm (frame 2)")
    assert np.abs(shown(visit) - decoded(sent, 2)).max() <= 1

    # And another one can follow, but no frame of another file
    number.fill("3")
    classify.click()
    expect(visit.page.locator("#rows")).to_contain_text("series.dcm (frame 3)")
    visit.expect_answer("YES")
    assert attributes(sagemaker.calls[-1])["frame"] == "3"
    visit.page.get_by_role("option", name="slice.png").click()
    expect(number).to_be_hidden()


@pytest.mark.parametrize(
    ("mime", "kind"),
    [*((each, "JPEG") for each in ("image/jpg", "image/pjpeg", "", "text/plain")), ("image/x-png", "PNG")],
)
def test_the_bytes_decide_and_not_what_the_browser_calls_them(
    visit: Visit, sagemaker: FakeSageMaker, mime: str, kind: str
) -> None:
    visit.classify(file("scan", mime, draw(kind=kind)))
    assert sagemaker.calls[0].body == draw(kind=kind)


def test_a_dropped_folder_is_several_files(visit: Visit, sagemaker: FakeSageMaker, tmp_path: Path) -> None:
    # Given a study as a scanner writes it: no extensions, folders within folders
    study = tmp_path / "study"
    (study / "series").mkdir(parents=True)
    for name in ("series/IM10", "series/IM9", "first.dcm"):
        (study / name).write_bytes(dicom(SLICE))
    (study / ".DS_Store").write_bytes(b"\0Bud1")
    (study / "notes.txt").write_text("no image")
    visit.open()

    # When it is dropped
    browser = visit.page.context.new_cdp_session(visit.page)
    place = {"x": 300, "y": 400, "data": {"items": [], "files": [str(study)], "dragOperationsMask": 1}}
    for step in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", {"type": step, **place})

    # Then its files are classified in the order of their names
    expect(visit.page.locator("#summary")).to_have_text("4 of 4 done · 3 YES · 1 failed")
    names = visit.page.locator("#rows th bdi").all_text_contents()
    assert names == ["first.dcm", "notes.txt", "IM9", "IM10"]
    assert len(sagemaker.calls) == 3


def test_the_code_comes_with_the_first_file(visit: Visit) -> None:
    loads = [f"{visit.url}/dicom.js"]
    visit.classify()
    assert set(loads).isdisjoint(visit.requests)
    for name in ("one.dcm", "two.dcm"):
        visit.choose(file(name, content=dicom(SLICE)))
        expect(visit.page.locator("#rows")).to_contain_text(f"{name}YES")
        assert [url for url in visit.requests if url.endswith(".js")] == loads


@pytest.mark.parametrize("script", ["window.readDicom = ({ file }) => file;", ""])
def test_other_code_is_not_run(visit: Visit, sagemaker: FakeSageMaker, script: str) -> None:
    """After a deployment, for example: nothing is sent that was not stripped."""
    visit.page.route("**/dicom.js", lambda route: route.fulfill(body=script, content_type="text/javascript"))
    visit.submit(file("scan.dcm", content=dicom(SLICE)))
    visit.expect_problem("No answer", "reload the page")
    assert not sagemaker.calls
    assert bool(script) == any("script-src" in message for message in visit.console)
    visit.console.clear()
    visit.page.unroute("**/dicom.js")
    visit.page.get_by_role("button", name="Try again").click()
    visit.expect_answer("YES")


@pytest.mark.parametrize("syntax", [*NATIVE, uid.RLELossless])
def test_nothing_of_the_header_leaves_the_browser(
    visit: Visit, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str], syntax: str
) -> None:
    # Given a file with a marker everywhere
    sent = planted(dicom(SLICE, syntax=syntax))
    assert sent.count(MARKER.encode()) > 1500
    visit.open()
    visit.page.get_by_label("Remember answers").check()

    # When it is classified
    visit.choose(file("scan.dcm", "application/dicom", sent))
    visit.expect_answer("YES")
    expect(visit.page.locator("#entry-rows tr")).to_have_count(1)

    # Then what is sent is what the container reads, and gives the same image
    (call,) = sagemaker.calls
    assert_stripped(call.body, sent)
    assert outcome(call.body) == outcome(sent)

    # And the marker is nowhere else: in no header, page, storage or console, nor in the Lambda's log
    local, session = visit.stores()
    elsewhere = [call.target, *call.headers.values(), *local.values(), *session.values(), *visit.requests]
    elsewhere += [visit.page.content(), *visit.console, capsys.readouterr().out]
    assert not [text for text in elsewhere if MARKER in text]


WHOLE = dicom(SLICE)
BROKEN = broken(WHOLE) | {"half": (WHOLE[: len(WHOLE) // 2], 400), "no last byte": (WHOLE[:-1], 400)}
TITLES = {400: "Broken DICOM file", 415: "Unsupported file"}
NOT_SENT = {  # deflated; without transfer syntax; truncated; with implicit VRs though it says explicit
    *("image_dfl.dcm", "meta_missing_tsyntax.dcm", "MR_truncated.dcm", "rtplan_truncated.dcm"),
    "SC_rgb_jpeg.dcm",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_stripped_is_not_sent(
    visit: Visit, sagemaker: FakeSageMaker, name: str
) -> None:
    content, status = BROKEN[name]
    visit.submit(file("scan.dcm", "application/dicom", content))
    visit.expect_problem(TITLES[status], "")
    assert not sagemaker.calls


def test_pydicoms_files_give_the_same_without_their_header(visit: Visit) -> None:
    visit.open()
    sent, not_sent = 0, set()
    for path in Path(pydicom.data.__file__).with_name("test_files").glob("*.dcm"):
        data = path.read_bytes()
        if data[128:132] != b"DICM":
            continue
        stripped = visit.page.evaluate(STRIP, base64.b64encode(data).decode())
        if stripped is None:
            not_sent.add(path.name)
            continue
        sent += 1
        assert outcome(base64.b64decode(stripped)) == outcome(data), path.name
    assert sent > 60
    assert not_sent == NOT_SENT

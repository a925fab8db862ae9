"""`scripts/predict` on studies, multi-frame files and volumes: what it asks, in which order, and prints."""

from __future__ import annotations

import gzip
import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from container import imaging
from scripts.api import nifti
from scripts.api.predict import find_images
from scripts.api.series import images_of
from scripts.client import without_header
from scripts.commands import predict
from tests.api.fake_gateway import prediction, problem
from tests.api.test_predict import NO, REFUSAL, rows
from tests.dicom_files import MARKER, dicom

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.api.fake_gateway import FakeGateway

    Command = Callable[..., tuple[int, str, str]]

AXIAL, SAGITTAL = [1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1]
GREY = np.arange(48 * 64).reshape(48, 64) % 251
SHAPE = (20, 24, 16)
LESION = (15, 18, 12)  # in voxels to the right, to the front and upwards


@pytest.fixture
def run(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> Command:
    """`scripts/predict` in this process: its exit status, standard output and standard error."""
    return lambda *arguments: (
        predict.main(["--url", gateway.url, *map(str, arguments)]),
        *capsys.readouterr(),
    )


def asked(
    paths: list[Path], *, frame: int | None = None
) -> list[tuple[str, int | None, int | None, int | None]]:
    images = images_of(find_images(paths), frame=frame, axis=2)
    return [(image.path.name, image.series, image.slice, image.frame) for image in images]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with a picture, four axial slices in two folders, and two sagittal ones of another series."""
    folder = tmp_path / "study"
    (folder / "b").mkdir(parents=True)
    series = uid.generate_uid()
    tags: dict[str, Any] = {"PatientName": MARKER, "SeriesDescription": MARKER, "SeriesInstanceUID": series}
    for name, height, number in (("a", 30, 1), ("b/1.2.840.99", 10, 3), ("b/c.dcm", 20, 2), ("d.ima", -5, 4)):
        place: dict[str, Any] = {"ImageOrientationPatient": AXIAL, "ImagePositionPatient": [9, 9, height]}
        (folder / name).write_bytes(dicom(np.roll(GREY, number), InstanceNumber=number, **tags, **place))
    tags["SeriesInstanceUID"] = uid.generate_uid()
    for name, left in (("s1", 7), ("s2", -7)):
        place = {"ImageOrientationPatient": SAGITTAL, "ImagePositionPatient": [left, 0, 0]}
        (folder / name).write_bytes(dicom(np.roll(GREY, left), **tags, **place))
    (folder / "picture.png").write_bytes(b"a picture")
    (folder / "notes.txt").write_text("no image")
    (folder / "DICOMDIR").write_bytes(dicom(GREY))
    return folder


@pytest.mark.parametrize("lacks", ["location", "everything"])
def test_without_a_position_the_location_or_the_number_orders(tmp_path: Path, lacks: str) -> None:
    series = uid.generate_uid()
    for number, location in ((1, 5.5), (2, -3.0), (10, 4.0)):
        tags: dict[str, Any] = {"SeriesInstanceUID": series, "InstanceNumber": number}
        if lacks == "location":
            tags["SliceLocation"] = location
        if number == 1:  # of one slice only, it orders nothing
            tags |= {"ImageOrientationPatient": AXIAL, "ImagePositionPatient": [0, 0, 1]}
        (tmp_path / f"{number}.dcm").write_bytes(dicom(GREY, **tags))
    order = [name for name, *_ in asked([tmp_path])]
    assert order == (["2.dcm", "10.dcm", "1.dcm"] if lacks == "location" else ["1.dcm", "2.dcm", "10.dcm"])


def test_each_frame_is_a_slice_unless_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "frames.dcm"
    path.write_bytes(dicom(np.stack([GREY] * 3)))
    assert asked([path]) == [("frames.dcm", 1, frame, frame) for frame in (1, 2, 3)]
    assert asked([path], frame=2) == [("frames.dcm", 1, 1, 2)]
    path.write_bytes(dicom(GREY, NumberOfFrames="999999999"))
    assert asked([path]) == [("frames.dcm", 1, 1, None)]


def test_a_study_has_a_line_a_series_and_no_word_of_a_header(
    gateway: FakeGateway, run: Command, study: Path
) -> None:
    # Given a study whose third slice is the likeliest, whose first is no brain and whose second fails
    files = [study / name for name in ("d.ima", "b/1.2.840.99", "b/c.dcm", "a")]
    replies = (REFUSAL, problem(500, "Out of order."), prediction(probability=0.99), prediction())
    sent = [without_header(path.read_bytes())[0] for path in files]
    gateway.by_image = dict(zip(sent, replies, strict=True))
    gateway.default = NO

    # When it is classified
    status, table, progress = run(study)
    _, sheet, summary = run(study, "--format", "csv")
    document = json.loads(run(study, "--format", "json", "--preview")[1])

    # Then the table has a line for each series and for the picture
    assert status == 1
    lines = [line.split() for line in table.splitlines()]
    assert lines[0] == ["IMAGE", "ANSWER", "PROBABILITY", "THRESHOLD"]
    assert lines[1][0] == str(study / "picture.png")
    assert lines[2] == ["SERIES", "SLICES", "YES", "REFUSED", "FAILED", "HIGHEST", "WHERE"]
    assert lines[3][:9] == ["1", "4", "2", "1", "1", "0.9900", "slice", "3,", str(files[2])]
    assert lines[4] == ["2", "2", "0", "0", "0", "0.1200", "slice", "1,", str(study / "s1")]
    assert progress.count("The model judges single slices") == 1
    # Then the other formats have each slice, and the lines are on standard error
    found = rows(sheet)
    assert [Path(row["file"]).name for row in found[5:]] == ["s1", "s2"]  # from the left, where x falls
    assert [(row["file"], row["series"], row["slice"]) for row in found[1:5]] == [
        (str(path), "1", str(at)) for at, path in enumerate(files, start=1)
    ]
    assert [row["answer"] for row in found[1:5]] == ["refused", "failed", "YES", "YES"]
    assert " ".join(lines[3][:9]) in " ".join(summary.split())
    assert [(each.get("series"), each.get("slice")) for each in document[:2]] == [(None, None), (1, 1)]
    assert any(call.target.endswith("heatmap=false&preview=true") for call in gateway.images)
    # Then neither they nor the requests hold anything of a header, such as a UID of pydicom
    requests = [str(call.body) for call in gateway.images]
    for text in (table, progress, sheet, summary, str(document), *requests):
        assert MARKER not in text
        assert "1.2.826" not in text
    assert len(set(requests)) == 7


def test_frames_and_broken_files_in_a_run(gateway: FakeGateway, run: Command, tmp_path: Path) -> None:
    (tmp_path / "frames.dcm").write_bytes(dicom(np.stack([GREY] * 2), PatientName=MARKER))
    (tmp_path / "broken.dcm").write_bytes(dicom(GREY, syntax=uid.RLELossless, PatientName=MARKER)[:-900])
    (tmp_path / "broken.nii").write_bytes(MARKER.encode() * 100)
    status, sheet, log = run(tmp_path, "--format", "csv")
    volume, broken, *frames = rows(sheet)
    assert status == 1
    assert "not sent" in broken["detail"]
    assert "its header is unreadable" in volume["detail"]
    assert [(row["frame"], row["slice"], row["answer"]) for row in frames] == [
        ("1", "1", "YES"),
        ("2", "2", "YES"),
    ]
    assert sorted(call.target[-8:] for call in gateway.images) == ["&frame=1", "&frame=2"]
    assert MARKER not in sheet + log
    _, kept, _ = run(tmp_path / "frames.dcm", "--keep-header", "--frame", 2)
    assert kept.splitlines()[1].split()[1] == "YES"
    assert gateway.images[-1].body == (tmp_path / "frames.dcm").read_bytes()


def volume(
    path: Path, codes: str, *, kind: str = "int16", volumes: int = 1, scale: float | None = None
) -> Path:
    """Write a head with a lesion, its axes in these directions (LPS: to the left, back and top)."""
    voxels = np.zeros((*SHAPE, volumes))
    voxels[2:-2, 2:-2, 2:-2] = 60
    voxels[(*LESION, volumes - 1)] = 200
    data = voxels.squeeze(-1) if volumes == 1 else voxels
    image: Any = nibabel.Nifti1Image(data.astype(kind), np.diag([1.0, 1.0, 3.0, 1.0]))  # type: ignore[no-untyped-call]
    from_, to = (nibabel.orientations.axcodes2ornt(each) for each in ("RAS", codes))  # type: ignore[no-untyped-call]
    image = image.as_reoriented(nibabel.orientations.ornt_transform(from_, to))  # type: ignore[no-untyped-call]
    if scale:
        image.header.set_slope_inter(scale, -7)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA"])
@pytest.mark.parametrize(("axis", "across", "down"), [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_a_volume_is_shown_as_a_radiologist_sees_it(
    tmp_path: Path, codes: str, axis: int, across: int, down: int
) -> None:
    # Given a head with a lesion on the right, at the front and at the top
    path = volume(tmp_path / "head.nii.gz", codes)
    # When it is sliced
    slices = nifti.slices(path, axis=axis, volume=None)
    shown = [np.asarray(imaging.decode(draw())) for draw in slices]
    # Then the lesion is on the left, at the top, of the slice where it lies
    assert len(shown) == SHAPE[axis]
    (at,) = (number for number, plane in enumerate(shown) if np.unique(plane).size == 3)
    row, column = map(int, np.unravel_index(shown[at].argmax(), shown[at].shape))
    expected = (LESION[axis], SHAPE[down] - 1 - LESION[down], SHAPE[across] - 1 - LESION[across])
    assert (at, row, column) == expected


@pytest.mark.parametrize(
    ("kind", "scale"), [("int16", None), ("float32", None), ("int16", 0.31), ("uint8", None)]
)
def test_a_slice_of_a_volume_is_seen_as_the_same_dicom_slice(
    tmp_path: Path, kind: str, scale: float | None
) -> None:
    path = volume(tmp_path / "head.nii", "LPS", kind=kind, scale=scale)
    drawn = np.asarray(imaging.decode(nifti.slices(path, axis=2, volume=None)[LESION[2]]()))
    plane = np.zeros(SHAPE[:2], dtype=int)
    plane[2:-2, 2:-2] = 60
    plane[LESION[:2]] = 200
    same = imaging.decode(dicom(plane.T[::-1, ::-1], bits=8 if kind == "uint8" else 12))
    assert np.abs(drawn.astype(int) - np.asarray(same)).max() <= 1


def test_of_several_volumes_one_is_named(tmp_path: Path) -> None:
    path = volume(tmp_path / "runs.nii", "RAS", volumes=3)
    with pytest.raises(nifti.VolumeError, match="has 3 volumes: choose one with --frame N, from 1 to 3"):
        nifti.slices(path, axis=2, volume=None)
    first, last = (Image.open(BytesIO(nifti.slices(path, axis=2, volume=n)[LESION[2]]())) for n in (1, 3))
    assert np.unique(np.asarray(first)).size == 2
    assert np.unique(np.asarray(last)).size == 3


UNSLICEABLE = {
    "cut": "its voxels are unreadable",
    "large": "more than 100 voxels",
    "none": "no slices",
    "line": "no slices",
    "nowhere": "its header is unreadable",
}


@pytest.mark.parametrize("name", UNSLICEABLE)
def test_a_volume_that_cannot_be_sliced_says_why(
    gateway: FakeGateway, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = volume(tmp_path / "head.nii.gz", "RAS")
    if name == "cut":
        path.write_bytes(path.read_bytes()[:-60])
    elif name == "nowhere":  # the axes have no direction
        header = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(header[:280] + bytes(48) + header[328:]))
    elif name == "large":
        monkeypatch.setattr(nifti, "MAX_VOXELS", 100)
    else:
        voxels = np.zeros((4, 4, 0) if name == "none" else 4, dtype="int16")
        made: Any = nibabel.Nifti1Image(voxels, np.eye(4))  # type: ignore[no-untyped-call]
        nibabel.save(made, path)
    status, sheet, _ = run(path, "--format", "csv")
    assert status == 1
    details = [row["detail"] for row in rows(sheet) if row["answer"] == "failed"]
    assert len(details) == (SHAPE[2] if name == "cut" else 1)
    assert all(UNSLICEABLE[name] in detail for detail in details)
    assert not gateway.images


def test_a_volume_is_asked_slice_by_slice(gateway: FakeGateway, run: Command, tmp_path: Path) -> None:
    path = volume(tmp_path / "head.nii.gz", "LPS")
    status, table, _ = run(path, "--axis", 1)
    assert status == 0
    assert table.split()[7:13] == ["1", str(SHAPE[1]), str(SHAPE[1]), "0", "0", "0.9300"]
    sizes = {Image.open(BytesIO(call.body)).size for call in gateway.images}
    assert (len(gateway.images), sizes) == (SHAPE[1], {(SHAPE[0], SHAPE[2])})

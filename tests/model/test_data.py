from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from container import grey_levels
from model.data import dataset, phantom
from model.data.dataset import DataError
from model.evaluation.baselines import header
from tests.dicom_files import dicom

if TYPE_CHECKING:
    from collections.abc import Callable


def write(path: Path, *, seed: int, mode: str = "L", kind: str | None = None) -> Path:
    """One phantom of this seed in a file of this mode and format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = phantom.draw(seed=seed, lesion=False, size=64)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image, dtype=np.uint16) * 257)
    else:
        image = image.convert(mode)
    image.save(path, format=kind)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of each class."""
    for seed, name in enumerate(["yes/Y1.png", "yes/Y2.png", "no/1 no.png", "no/2 no.png"]):
        write(tmp_path / name, seed=seed)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "mode", "kind"),
    [
        ("colour.JPG", "RGB", "JPEG"),
        ("print.jpeg", "CMYK", "JPEG"),
        ("palette.png", "P", "PNG"),
        ("bits.png", "1", "PNG"),
        ("deep.png", "I;16", "PNG"),
        ("a PNG in truth.jpg", "RGBA", "PNG"),
        ("no extension", "L", "PNG"),
        ("Ümläut (1).Png", "RGB", "PNG"),
    ],
)
def test_every_mode_format_and_name_loads(folder: Path, name: str, mode: str, kind: str) -> None:
    write(folder / "yes" / name, seed=9, mode=mode, kind=kind)
    loaded = dataset.load(folder)
    assert f"yes/{name}" in [scan.name for scan in loaded.scans]
    assert loaded.skipped == ()
    assert {scan.image().mode for scan in loaded.scans} == {"L"}


def test_a_dicom_file_is_the_scan_that_its_picture_is(folder: Path) -> None:
    scan = phantom.draw(seed=9, lesion=True)
    (folder / "yes" / "I0001").write_bytes(dicom(scan, PatientName="PLANTED"))
    (folder / "no" / "all.dcm").write_bytes(dicom(np.stack([np.asarray(scan)] * 2)))
    loaded = dataset.load(folder)
    [found] = [each for each in loaded.scans if each.name == "yes/I0001"]
    assert np.array_equal(np.asarray(found.image()), np.asarray(grey_levels.spread(scan)))
    assert header(found)[:2] == scan.size
    assert header(found).format == "DICOM"
    assert loaded.skipped[0][0] == "no/all.dcm"
    assert "2 frames" in loaded.skipped[0][1]


def test_labels_follow_the_folders_in_any_case(folder: Path) -> None:
    loaded = dataset.load(folder)
    assert [scan.name for scan in loaded.scans] == ["no/1 no.png", "no/2 no.png", "yes/Y1.png", "yes/Y2.png"]
    assert loaded.labels.tolist() == [0, 0, 1, 1]
    (folder / "yes").rename(folder / "YES")
    assert dataset.load(folder).labels.sum() == 2


def test_unreadable_files_are_named_and_hidden_ones_ignored(folder: Path) -> None:
    (folder / "yes" / "notes.txt").write_text("no image")
    (folder / "yes" / ".DS_Store").write_bytes(b"written by macOS")
    half = (folder / "no" / "1 no.png").read_bytes()
    (folder / "no" / "half.png").write_bytes(half[: len(half) // 2])
    (folder / "yes" / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    os.mkfifo(folder / "yes" / "pipe.jpg")
    loaded = dataset.load(folder)
    names, reasons = zip(*loaded.skipped, strict=True)
    assert names == ("no/half.png", "yes/gone.jpg", "yes/notes.txt", "yes/pipe.jpg")
    assert (reasons[1], reasons[3]) == ("No such file or directory", "It is no regular file")
    assert "4 unreadable files skipped" in loaded.summary()
    assert "yes/notes.txt (The bytes are no JPEG, PNG or DICOM image" in loaded.summary()


def test_an_exact_copy_is_set_aside_and_named(folder: Path) -> None:
    (folder / "yes" / "Y9.png").write_bytes((folder / "yes" / "Y1.png").read_bytes())
    loaded = dataset.load(folder)
    assert len(loaded.scans) == 4
    assert loaded.copies == (("yes/Y9.png", "yes/Y1.png"),)


def in_class_no(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [change(path) for path in (folder / "no").iterdir()]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda folder: shutil.copy(folder / "yes" / "Y1.png", folder / "no" / "wrong.png"),
            r"no/wrong\.png and yes/Y1\.png are the same file",
        ),
        (in_class_no(Path.unlink), "no/ holds no readable JPEG, PNG or DICOM file, it is empty"),
        (in_class_no(lambda path: path.write_bytes(b"GIF89a")), r"unreadable: no/1 no\.png \(.*no/2 no\.png"),
        (
            lambda folder: (folder / "yes").rename(folder / "other"),
            "yes/ holds no readable JPEG, PNG or DICOM file, it is empty or missing",
        ),
        (
            lambda folder: [(folder / name).rename(folder / f"not {name}") for name in dataset.CLASSES],
            "no/ and no folder yes/",
        ),
        (shutil.rmtree, "is not a folder"),
    ],
)
def test_a_folder_that_cannot_be_used_is_an_error_with_the_reason(
    folder: Path, change: Callable[[Path], object], named: str
) -> None:
    change(folder)
    with pytest.raises(DataError, match=named):
        dataset.load(folder)


def test_the_fingerprint_depends_on_labels_and_bytes_only(folder: Path, tmp_path: Path) -> None:
    before = dataset.load(folder).fingerprint
    # When names change and a copy is added, it stays
    (folder / "yes" / "Y1.png").rename(folder / "yes" / "renamed.png")
    (folder / "yes" / "copy.png").write_bytes((folder / "yes" / "renamed.png").read_bytes())
    assert dataset.load(folder).fingerprint == before
    # When an image changes its class, it changes
    (folder / "yes" / "copy.png").unlink()
    (folder / "yes" / "renamed.png").rename(folder / "no" / "renamed.png")
    assert dataset.load(folder).fingerprint != before


def test_without_a_folder_the_usual_ones_are_read_and_else_phantoms_drawn(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a root with neither data nor phantoms
    root = tmp_path / "root"
    drawn = root / ".local" / "phantoms"
    for name, value in {"ROOT": root, "PHANTOM_FOLDER": drawn, "PHANTOM_COUNT": 6}.items():
        monkeypatch.setattr(dataset, name, value)
    monkeypatch.delenv("TUMOR_DATA", raising=False)
    # Then phantoms are drawn once, and recognised under any name
    loaded = dataset.resolve()
    assert (loaded.name, loaded.kind, len(loaded.scans)) == ("phantom", "phantom", 6)
    monkeypatch.setattr(phantom, "write_folder", lambda *_, **__: pytest.fail("drawn twice"))
    assert dataset.resolve().fingerprint == loaded.fingerprint
    assert dataset.load(drawn.rename(root / "brain_mri")).kind == "phantom"
    # And a folder data/ comes before them, the environment before that, and a folder that is named first
    shutil.copytree(folder, root / "data", ignore=shutil.ignore_patterns("root"))
    loaded = dataset.resolve()
    assert (loaded.name, loaded.kind) == ("data", "images")
    monkeypatch.setenv("TUMOR_DATA", str(folder))
    assert dataset.resolve().folders == (folder,)
    monkeypatch.setenv("TUMOR_DATA", "/nowhere")
    assert dataset.resolve(folder).folders == (folder,)

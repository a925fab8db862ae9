from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from container import imaging
from model import data, phantom
from model.data import DataError, Dataset

if TYPE_CHECKING:
    from pathlib import Path


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
        ("grey.jpg", "L", "JPEG"),
        ("colour.JPG", "RGB", "JPEG"),
        ("print.jpeg", "CMYK", "JPEG"),
        ("palette.png", "P", "PNG"),
        ("transparent.png", "RGBA", "PNG"),
        ("grey and alpha.png", "LA", "PNG"),
        ("bits.png", "1", "PNG"),
        ("deep.png", "I;16", "PNG"),
        ("a PNG, it says.jpg", "RGBA", "PNG"),
        ("no extension", "L", "PNG"),
        ("Ümläut (1).Png", "RGB", "PNG"),
    ],
)
def test_every_mode_format_and_name_loads(folder: Path, name: str, mode: str, kind: str) -> None:
    write(folder / "yes" / name, seed=9, mode=mode, kind=kind)
    dataset = data.load(folder)
    assert f"yes/{name}" in [scan.name for scan in dataset.scans]
    assert dataset.skipped == ()
    assert {scan.image().mode for scan in dataset.scans} == {"L"}


def test_an_image_is_what_serving_decodes(folder: Path) -> None:
    image = data.load(folder).scans[0].image()
    served = imaging.decode((folder / "no" / "1 no.png").read_bytes())
    assert np.array_equal(np.asarray(image), np.asarray(served))


def test_labels_follow_the_folders(folder: Path) -> None:
    dataset = data.load(folder)
    assert [scan.name for scan in dataset.scans] == ["no/1 no.png", "no/2 no.png", "yes/Y1.png", "yes/Y2.png"]
    assert dataset.labels.tolist() == [0, 0, 1, 1]


def test_the_case_of_a_class_folder_does_not_matter(folder: Path) -> None:
    (folder / "yes").rename(folder / "YES")
    assert data.load(folder).labels.sum() == 2


def test_hidden_files_are_no_images(folder: Path) -> None:
    (folder / "yes" / ".DS_Store").write_bytes(b"what a Mac leaves")
    assert data.load(folder).skipped == ()


def test_two_extensions_of_one_name_are_two_scans(folder: Path) -> None:
    write(folder / "yes" / "Y1.jpg", seed=12, kind="JPEG")
    assert len(data.load(folder).scans) == 5


def test_an_unreadable_file_is_named_with_its_reason_and_counted(folder: Path) -> None:
    (folder / "yes" / "notes.txt").write_text("no image")
    half = (folder / "no" / "1 no.png").read_bytes()
    (folder / "no" / "half.png").write_bytes(half[: len(half) // 2])
    dataset = data.load(folder)
    assert [name for name, _ in dataset.skipped] == ["no/half.png", "yes/notes.txt"]
    assert "2 unreadable files skipped" in dataset.summary()
    assert "yes/notes.txt (The bytes are neither" in dataset.summary()


def test_an_exact_copy_is_set_aside_and_named(folder: Path) -> None:
    (folder / "yes" / "Y9.png").write_bytes((folder / "yes" / "Y1.png").read_bytes())
    dataset = data.load(folder)
    assert len(dataset.scans) == 4
    assert dataset.copies == (("yes/Y9.png", "yes/Y1.png"),)


def test_the_same_file_in_both_classes_is_an_error_that_names_both(folder: Path) -> None:
    (folder / "no" / "wrong.png").write_bytes((folder / "yes" / "Y1.png").read_bytes())
    with pytest.raises(DataError, match=r"no/wrong\.png and yes/Y1\.png are the same file"):
        data.load(folder)


def test_all_that_is_wrong_is_said_at_once(folder: Path) -> None:
    (folder / "no" / "a.png").write_bytes((folder / "yes" / "Y1.png").read_bytes())
    (folder / "no" / "b.png").write_bytes((folder / "yes" / "Y2.png").read_bytes())
    with pytest.raises(DataError, match=r"(?s)no/a\.png.*no/b\.png"):
        data.load(folder)


def test_a_class_without_images_is_an_error_that_says_what_was_looked_for(folder: Path) -> None:
    for path in (folder / "no").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no/ holds no readable JPEG or PNG file, it is empty"):
        data.load(folder)


def test_a_class_of_unreadable_files_is_an_error_that_names_them(folder: Path) -> None:
    for path in (folder / "no").iterdir():
        path.write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"unreadable: no/1 no\.png \(.*no/2 no\.png"):
        data.load(folder)


@pytest.mark.parametrize(
    ("missing", "named"), [(["yes"], "no folder yes/"), (["yes", "no"], "no/ and no folder yes/")]
)
def test_missing_class_folders_are_all_named(folder: Path, missing: list[str], named: str) -> None:
    for name in missing:
        (folder / name).rename(folder / f"not {name}")
    with pytest.raises(DataError, match=named):
        data.load(folder)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        data.load(tmp_path / "nowhere")


def test_the_fingerprint_is_of_labels_and_bytes_alone(folder: Path, tmp_path: Path) -> None:
    before = data.load(folder).fingerprint
    # When names change and a copy is added, it stays
    (folder / "yes" / "Y1.png").rename(folder / "yes" / "renamed.png")
    (folder / "yes" / "copy.png").write_bytes((folder / "yes" / "renamed.png").read_bytes())
    assert data.load(folder).fingerprint == before
    # When an image changes its class, it changes
    (folder / "yes" / "copy.png").unlink()
    (folder / "yes" / "renamed.png").rename(folder / "no" / "renamed.png")
    assert data.load(folder).fingerprint != before


class TestResolve:
    @pytest.fixture(autouse=True)
    def elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A root with neither data nor phantoms."""
        root = tmp_path / "root"
        root.mkdir()
        monkeypatch.setattr(data, "ROOT", root)
        monkeypatch.setattr(data, "PHANTOM_FOLDER", root / ".local" / "phantoms")
        monkeypatch.setattr(data, "PHANTOM_COUNT", 6)
        monkeypatch.delenv("TUMOR_DATA", raising=False)
        return root

    def test_a_named_folder_comes_first(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TUMOR_DATA", "/nowhere")
        assert data.resolve(folder).folder == folder

    def test_then_the_environment(
        self, folder: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(elsewhere / "data" / "yes" / "1.png", seed=1)
        monkeypatch.setenv("TUMOR_DATA", str(folder))
        assert data.resolve().folder == folder

    def test_then_the_data_folder(self, elsewhere: Path) -> None:
        for seed, name in enumerate(["yes", "no"]):
            write(elsewhere / "data" / name / "1.png", seed=seed)
        dataset = data.resolve()
        assert (dataset.name, dataset.kind) == ("data", "images")

    def test_then_phantoms_that_are_drawn_once(
        self, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dataset = data.resolve()
        assert (dataset.name, dataset.kind, len(dataset.scans)) == ("phantom", "phantom", 6)
        monkeypatch.setattr(phantom, "write_folder", lambda *_, **__: pytest.fail("drawn twice"))
        assert data.resolve().fingerprint == dataset.fingerprint

    def test_a_named_folder_that_is_missing_is_no_reason_to_go_on(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="is not a folder"):
            data.resolve(tmp_path / "nowhere")

    def test_a_folder_of_phantoms_is_known_as_such_under_any_name(
        self, elsewhere: Path, tmp_path: Path
    ) -> None:
        data.resolve()
        (elsewhere / ".local" / "phantoms").rename(tmp_path / "brain_mri")
        assert data.load(tmp_path / "brain_mri").kind == "phantom"


class TestKaggle:
    def test_the_set_is_fetched_by_its_name(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        fake = types.ModuleType("kagglehub")
        fake.dataset_download = lambda name: asked.append(name) or str(folder)  # type: ignore[attr-defined, func-returns-value]
        monkeypatch.setitem(sys.modules, "kagglehub", fake)
        dataset = data.fetch_kaggle()
        assert dataset.folder == folder
        assert dataset.name == "brain-mri-images-for-brain-tumor-detection"
        assert asked == ["navoneel/brain-mri-images-for-brain-tumor-detection"]

    def test_a_failed_download_says_what_else_can_be_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: str) -> str:
            raise ConnectionError("no route to host")

        fake = types.ModuleType("kagglehub")
        fake.dataset_download = refuse  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "kagglehub", fake)
        with pytest.raises(DataError, match=r"(?s)no route to host.*--data FOLDER"):
            data.fetch_kaggle()


def test_the_real_set_is_as_expected(real: Dataset) -> None:
    assert len(real.scans) == 228
    assert len(real.copies) == 25
    assert real.labels.sum() == 141
    assert real.skipped == ()
    assert real.kind == "images"


def test_a_file_that_cannot_be_opened_is_named_and_skipped(tmp_path: Path) -> None:
    phantom.write_folder(tmp_path, count=4, seed=1)
    (tmp_path / "yes" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    dataset = data.load(tmp_path)
    assert dataset.skipped == (("yes/gone.jpg", "No such file or directory"),)
    assert len(dataset.scans) == 4

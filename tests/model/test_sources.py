"""Sources: their layout, manifests and outlines, and what is wrong with them."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from model.data import dataset, phantom, split
from model.data.scan import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.data.scan import Scan

SIZE = 64


def draw(path: Path, *, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    phantom.draw(seed=seed, lesion=False, size=SIZE).resize((SIZE, SIZE)).save(path, format="PNG")
    return path


def draw_mask(path: Path, box: tuple[int, int, int, int] | None = (10, 20, 30, 40)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.new("L", (SIZE, SIZE))
    if box:
        mask.paste(255, box)
    mask.save(path, format="PNG")


def only(folder: Path, name: str) -> Scan:
    (scan,) = (scan for scan in dataset.load(folder).scans if scan.name == name)
    return scan


def covered(scan: Scan) -> tuple[int, ...] | None:
    """The box of a scan's outline."""
    outline = scan.outline()
    assert outline is not None
    assert (outline.mode, outline.size) == ("L", scan.image().size)
    assert set(np.unique(np.asarray(outline))) <= {0, 255}
    return outline.getbbox()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source of two images of each class."""
    for seed, name in enumerate(["yes/a.jpg", "yes/b.png", "no/c.png", "no/d.png"]):
        draw(tmp_path / "one" / name, seed=seed)
    return tmp_path / "one"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A source without tumours, beside that of `folder`."""
    for seed in (11, 12):
        draw(tmp_path / "two" / "no" / f"{seed}.png", seed=seed)
    return tmp_path / "two"


class TestLayout:
    def test_a_folder_of_sources_equals_its_sources_in_turn(
        self, folder: Path, other: Path, tmp_path: Path
    ) -> None:
        together, apart = dataset.load(tmp_path), dataset.load([folder, other])
        assert together.sources == apart.sources == ("one", "two")
        assert together.fingerprint == apart.fingerprint
        assert together.scans == apart.scans
        assert [scan.name for scan in apart.scans][-2:] == ["two/no/11.png", "two/no/12.png"]
        assert (apart.name, apart.folders) == ("one + two", (folder, other))
        assert "6 distinct images (2 yes, 4 no) of 2 sources" in apart.summary()
        assert "only no images: two" in apart.summary()

    def test_images_to_refuse_are_kept_by_kind(self, folder: Path) -> None:
        before = dataset.load(folder).fingerprint
        for kind in ("spine", "knee"):
            draw(folder / "refuse" / kind / "1.png", seed=len(kind) + 20)
        loaded = dataset.load(folder)
        assert {kind: len(images) for kind, images in loaded.refuse.items()} == {"knee": 1, "spine": 1}
        assert loaded.refuse["knee"][0].image().size == (SIZE, SIZE)
        assert (len(loaded.scans), loaded.sources) == (4, ("one",))
        assert loaded.fingerprint != before

    @pytest.mark.parametrize("part", [".", "Training"])
    @pytest.mark.parametrize("ending", ["", "_tumor"])
    def test_four_classes_are_mapped_and_this_is_said(self, tmp_path: Path, part: str, ending: str) -> None:
        names = (f"Glioma{ending}", f"meningioma{ending}", "no_tumor", f"pituitary{ending}")
        for seed, name in enumerate(names):
            draw(tmp_path / "set" / part / name / "1.png", seed=seed)
        loaded = dataset.load(tmp_path / "set")
        assert loaded.labels.tolist() == [1, 1, 0, 1]
        assert f"set: {names[0]}, {names[1]}, {names[3]} read as yes, no_tumor as no" in loaded.summary()

    def test_nested_folders_are_read_and_links_back_end(self, folder: Path) -> None:
        draw(folder / "yes" / "patient 1" / "scan" / "e.png", seed=9)
        draw(folder / "yes" / ".thumbnails" / "e.png", seed=10)
        (folder / "yes" / "patient 1" / "back").symlink_to(folder / "yes")
        assert [scan.name for scan in dataset.load(folder).scans if scan.label] == [
            *("yes/a.jpg", "yes/b.png", "yes/patient 1/scan/e.png")
        ]

    def test_a_manifest_describes_its_images(self, folder: Path) -> None:
        (folder / "manifest.csv").write_text(
            "\ufeffPath253,label,group,plane,contrast,level_matched,age\n"
            'yes\\a.jpg,1,"patient, 1",axial,flair,1,40\nno/c.png,no,,,,,50\n',
            encoding="utf-8",
        )
        scan = only(folder, "yes/a.jpg")
        assert (scan.group, scan.plane, scan.contrast) == ("patient, 1", "axial", "flair")
        assert scan.details == {"level_matched": "1"}
        assert only(folder, "no/c.png").group is None
        assert dataset.load(folder).summary().endswith("are not used: age")

    def test_a_thousand_other_files_are_counted(self, folder: Path) -> None:
        for number in range(1000):
            (folder / "no" / f"{number:04d}.dcm").write_bytes(b"DICM")
        summary = dataset.load(folder).summary()
        assert "1,000 unreadable files skipped" in summary
        assert "and 995 more" in summary
        assert len(summary) < 1000


class TestOutlines:
    @pytest.mark.parametrize(
        ("files", "box"),
        [
            ({"shapes/a.png": 1, "masks/a.jpg.png": 2, "masks/a.png": 3}, 1),
            ({"masks/a.jpg.png": 2, "masks/a.png": 3}, 2),
            ({"masks/a.png": 3}, 3),
            ({}, 4),
        ],
    )
    def test_the_manifest_comes_before_names_and_boxes(
        self, folder: Path, files: dict[str, int], box: int
    ) -> None:
        for name, start in files.items():
            draw_mask(folder / name, (start, start, 40, 40))
        mask = next((name for name in files if name.startswith("shapes")), "")
        (folder / "manifest.csv").write_text(f"path,mask\nyes/a.jpg,{mask}\n")
        (folder / "boxes.csv").write_text("path,x0,y0,x1,y1\nyes/a.jpg,4,4,20,20\nyes/a.jpg,30,30,40,39.5\n")
        if mask:
            (folder / "masks" / "a.png").unlink()
        assert covered(only(folder, "yes/a.jpg")) == (box, box, 40, 40)
        assert only(folder, "no/c.png").outline() is None

    def test_the_outline_is_that_of_the_upright_image(self, folder: Path) -> None:
        image = phantom.draw(seed=3, lesion=False, size=SIZE).resize((SIZE, 2 * SIZE))
        image.getexif()[0x0112] = 6  # a quarter turn
        image.save(folder / "yes" / "a.jpg", exif=image.getexif())
        (folder / "boxes.csv").write_text("path,x0,y0,x1,y1\nyes/a.jpg,100,0,128,10\n")
        scan = only(folder, "yes/a.jpg")
        assert scan.image().size == (2 * SIZE, SIZE)
        assert covered(scan) == (100, 0, 128, 10)

    def test_outlines_may_lie_elsewhere(self, folder: Path, other: Path, tmp_path: Path) -> None:
        draw_mask(tmp_path / "elsewhere" / "shapes" / "1.png")
        (tmp_path / "elsewhere" / "manifest.csv").write_text("path253,mask\nyes/a.jpg,shapes/1.png\n")
        draw_mask(tmp_path / "elsewhere" / "b.png.png", (1, 2, 3, 4))
        loaded = dataset.load([folder, other], tmp_path / "elsewhere")
        outlined = {scan.name: covered(scan) for scan in loaded.scans if scan.mask}
        assert outlined == {"one/yes/a.jpg": (10, 20, 30, 40), "one/yes/b.png": (1, 2, 3, 4)}
        assert loaded.fingerprint != dataset.load([folder, other]).fingerprint

    def test_a_copy_passes_its_outline_on(self, folder: Path) -> None:
        shutil.copy(folder / "yes" / "a.jpg", folder / "yes" / "z.png")
        draw_mask(folder / "masks" / "z.png")
        assert covered(only(folder, "yes/a.jpg")) == (10, 20, 30, 40)


def manifest(*rows: str, header: str = "path,label,mask") -> Callable[[Path], object]:
    return lambda folder: (folder / "manifest.csv").write_text("\n".join([header, *rows]))


def boxes(row: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "boxes.csv").write_text(f"path,x0,y0,x1,y1\n{row}\n")


def mask(name: str, box: tuple[int, int, int, int] | None = (1, 1, 9, 9)) -> Callable[[Path], object]:
    return lambda folder: draw_mask(folder / "masks" / name, box)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda folder: Image.new("L", (2 * SIZE, 2 * SIZE)).save(folder / "masks" / "a.png"),
            r"another size than their image: a\.png \(128x128, the image 64x64\)",
        ),
        (mask("a.png", None), r"yes images that are all black .*: a\.png"),
        (mask("a.png", (0, 0, SIZE, 40)), r"mostly white, perhaps inverted .*: a\.png"),
        (mask("c.png"), r"no images that are not black: c\.png"),
        (mask("nobody.png"), r"Without their image .*: masks/nobody\.png"),
        (mask("a.jpg"), r"Without their image .*: masks/a\.jpg"),
        (lambda folder: (folder / "masks" / "a.png").write_text("?"), r"cannot be read: a\.png \(The bytes"),
        (lambda folder: os.mkfifo(folder / "masks" / "b.png"), r"b\.png \(It is no regular file\)"),
        (manifest(*(f"yes/{n}.png,," for n in range(9))), r"name no image .*: yes/0\.png; .*; and 4 more"),
        (manifest("yes/a.jpg,no,"), r"contradict the folder: yes/a\.jpg \(no\)"),
        (manifest("yes/a.jpg,refuse:knee,"), "contradict the folder"),
        (manifest("yes/a.jpg,,masks/gone.png"), r"cannot be read: gone\.png \(No such file"),
        (manifest("yes/a.jpg,,../../x.png"), "lies outside of"),
        (manifest("yes/a, b.png,yes,"), "as many values as columns"),
        (manifest("a.png", header="file"), "a first column path"),
        (lambda folder: (folder / "manifest.csv").write_text(""), "a first column path"),
        (boxes("yes/b.png,1,1,one,9"), r"left, top, right, bottom .*\(1, 1, one, 9 in 64x64\)"),
        (boxes("yes/b.png,9,9,1,1"), r"left, top, right, bottom .*: yes/b\.png \(9, 9, 1, 1 in 64x64\)"),
        (boxes("yes/b.png,9,9,99,50"), "in pixels of their image"),
        (boxes("no/c.png,1,1,9,9"), "Boxes on no images"),
        (boxes("yes/x.png,1,1,9,9"), r"Without their image .*: yes/x\.png"),
        (
            lambda folder: (folder / "yes" / "b.png").rename(
                os.fsdecode(bytes(folder) + b"/yes/caf\xe9.png")
            ),
            r"1 file names are not UTF-8: .*caf\\xe9\.png",
        ),
    ],
)
def test_what_does_not_fit_is_named(folder: Path, change: Callable[[Path], object], named: str) -> None:
    draw_mask(folder / "masks" / "a.png")
    change(folder)
    with pytest.raises(DataError, match=named):
        dataset.load(folder)


def test_a_folder_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str | Path = ".") -> object:
        if str(path).endswith("/no"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", refuse)  # root, who may run this, can read everything
    with pytest.raises(DataError, match="/no cannot be read: Permission denied"):
        dataset.load(folder)


def test_sources_that_contradict_each_other_are_named(folder: Path, other: Path, tmp_path: Path) -> None:
    # Given a source that repeats most images of another under other names
    for number, path in enumerate(sorted((folder / "yes").iterdir())):
        (tmp_path / "three" / "yes").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "three" / "yes" / f"{number}.png")
    with pytest.raises(DataError, match="source three is a copy of one: 2 of 2 distinct images"):
        dataset.load([folder, tmp_path / "three"])
    with pytest.raises(DataError, match="2 sources are called one"):
        dataset.load([folder, shutil.copytree(other, tmp_path / "deeper" / "one")])
    with pytest.raises(DataError, match=r"two cannot be trained on: yes/ holds no readable"):
        dataset.load(other)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no outlines"):
        dataset.load(folder, tmp_path / "empty")


@pytest.mark.slow
def test_real_sources_load_with_the_counts_of_their_description() -> None:
    folder = Path(os.environ.get("TUMOR_DATA", "/nowhere"))
    if not (folder.parent / "sources").is_dir():
        pytest.skip("no real sources beside TUMOR_DATA")
    loaded = dataset.load([folder, folder.parent / "sources"], folder.parent / "brain_mri_outlines")
    assert Counter((scan.source, scan.label) for scan in loaded.scans) == {
        ("brain_mri", 1): 141, ("brain_mri", 0): 87, ("lgg", 1): 1049, ("lgg", 0): 927,
        ("teaching_archive", 1): 702, ("teaching_archive", 0): 263, ("gbm_t1c_boxes", 1): 569,
        ("healthy_t1_stripped", 0): 432, ("healthy_ixi_2mm", 0): 223, ("healthy_misc", 0): 76,
        ("multiple_sclerosis", 0): 86,
    }  # fmt: skip
    assert sum(map(len, loaded.refuse.values())) == 106
    outlined = Counter(scan.source for scan in loaded.scans if scan.mask or scan.boxes)
    assert outlined == {"lgg": 1049, "gbm_t1c_boxes": 564, "brain_mri": 141}
    gliomas = [scan for scan in loaded.scans if scan.source == "lgg"]
    chosen = [scan for scan in gliomas if scan.group in sorted({scan.group or "" for scan in gliomas})[:6]]
    groups = split.group((scan.image() for scan in chosen), [(scan.source, scan.group) for scan in chosen])
    assert len(set(groups)) == 6
    assert dataset.load(folder).fingerprint.startswith("a1e4a012")

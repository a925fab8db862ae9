"""Learning what brain MRI looks like from other images, by telling types apart and never sources.

A folder of tumours from one hospital and one of healthy heads from another teach the hospital: '512 x 512
means tumour' is right almost everywhere between such sets. So only classes that lie beside each other in one
folder are told apart: `glioma/` from `meningioma/`, and in `oasis/` its grades among themselves, but no
tumour from any grade.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
from tqdm import tqdm

from container import imaging
from container.problem import Problem

from . import tracking
from .data import DataError, download
from .pictures import Pictures
from .recipe import ARCHITECTURES
from .split import resembling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from .backend import keras
    from .data import Scan
    from .learner import Report
    from .recipe import Recipe

LEARNING_RATE = 5e-4
BATCH_SIZE, DROPOUT = 32, 0.3
WEIGHTS = "trunk.weights.h5"
NO_TYPES = frozenset({"no", "none", "normal", "healthy", "notumor", "notumour"})
"""Names of class folders that are no type: who is healthy usually comes from another source."""
KAGGLE = "kaggle:"
VIEWS = 2
"""Disturbed versions of each image; the tensors' own augmentation comes on top."""


@dataclass(frozen=True)
class TypedScan:
    """One image file whose folder names its type."""

    path: Path
    type: int

    def image(self) -> Image.Image:
        """Decode the file exactly as serving does."""
        return imaging.decode(self.path.read_bytes())


@dataclass(frozen=True)
class TypedSet:
    """Images of named types, in families of which only the members are told apart.

    Attributes
    ----------
    types
        Name of each type, such as ``oasis/Non_Demented``.
    families
        Number of each type's family, shape (types,).
    skipped
        For each file that could not be read: its name and why.
    """

    folder: Path
    scans: tuple[TypedScan, ...]
    types: tuple[str, ...]
    families: tuple[int, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the types and the files' bytes."""
        lines = sorted(
            f"{self.types[scan.type]} {hashlib.sha256(scan.path.read_bytes()).hexdigest()}\n"
            for scan in self.scans
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def unlike(self, labelled: Sequence[Scan]) -> tuple[TypedSet, int]:
        """Leave out the images that resemble a labelled one, which would be learnt by heart; say how many.

        Raises
        ------
        DataError
            When a type has no image left.
        """
        copies = resembling((scan.image() for scan in self.scans), (scan.image() for scan in labelled))
        kept = tuple(scan for scan, copy in zip(self.scans, copies, strict=True) if not copy)
        if len({scan.type for scan in kept}) < len(self.types):
            raise DataError(
                f"{self.folder}: all images of a type are near-duplicates of labelled images, so nothing is "
                "left to learn its look from. Name other images for the pretraining."
            )
        return replace(self, scans=kept), int(copies.sum())

    def summary(self) -> str:
        """One line for people: what was found, and which types are told apart."""
        beside: dict[int, list[str]] = {}
        for name, family in zip(self.types, self.families, strict=True):
            beside.setdefault(family, []).append(name)
        told = "; ".join(" | ".join(names) for names in beside.values())
        line = f"{len(self.scans)} images in {self.folder}, told apart: {told}"
        return line + (f"; {len(self.skipped)} unreadable files skipped" if self.skipped else "")


def load(where: Path | str) -> TypedSet:
    """Read a folder of class folders, at any depth; folders named as in `NO_TYPES` are passed over.

    Parameters
    ----------
    where
        The folder, or ``kaggle:owner/name`` for a Kaggle set, which kagglehub fetches.

    Raises
    ------
    DataError
        When it is no folder or cannot be fetched, or no folder in it holds at least two class folders with
        readable images.
    """
    named = str(where)
    folder = download(named.removeprefix(KAGGLE)) if named.startswith(KAGGLE) else Path(where).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Name one that holds a folder of images for each type.")
    scans: list[TypedScan] = []
    types: list[str] = []
    families: list[int] = []
    skipped: list[tuple[str, str]] = []
    for family, parent in enumerate(sorted({path.parent for path in _class_folders(folder)})):
        siblings = [path for path in _class_folders(folder) if path.parent == parent]
        if len(siblings) == 1:
            continue  # nothing to tell it from
        for sibling in siblings:
            found = _read(sibling, number=len(types), skipped=skipped)
            if found:
                scans += found
                types.append(str(sibling.relative_to(folder)))
                families.append(family)
    if len(types) <= len(set(families)):
        raise DataError(
            f"{folder} cannot be learnt from: no folder in it has two class folders with readable JPEG or "
            "PNG files. Needed: a folder for each type, such as glioma/ and meningioma/, beside each other."
        )
    return TypedSet(folder.resolve(), tuple(scans), tuple(types), tuple(families), tuple(skipped))


def _class_folders(folder: Path) -> list[Path]:
    """Folders below this one that hold files, by name; hidden ones and files are not looked at."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_dir()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and "".join(filter(str.isalpha, path.name.lower())) not in NO_TYPES
        and any(child.is_file() for child in path.iterdir())
    )


def _read(folder: Path, *, number: int, skipped: list[tuple[str, str]]) -> list[TypedScan]:
    found = []
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    for path in tqdm(paths, desc=f"reading {folder.name}/", unit="file", leave=False):
        try:
            imaging.decode(path.read_bytes())
        except (OSError, Problem) as fault:
            skipped.append((f"{folder.name}/{path.name}", str(fault)))
        else:
            found.append(TypedScan(path, number))
    return found


def start(architecture: str, typed: TypedSet | None, recipe: Recipe) -> keras.Model:
    """Make the trunk that an architecture's fits begin with, pretrained where there are images for it.

    One that has seen ImageNet is left as it is: types made it worse (ROC AUC of its heads, on the Kaggle set
    with the types of two others: 0.938 against 0.946).

    A pretraining is a run of its own. One that was done before, from the same images by the same recipe, is
    found there and not done again.

    Raises
    ------
    WeightsError
        When the trunk needs weights that cannot be had.
    TrainingError
        When the pretraining diverges.
    """
    from . import network  # noqa: PLC0415 - TensorFlow

    size = recipe.input_size(architecture)
    trunk = network.build_trunk(architecture, size=size)
    if ARCHITECTURES[architecture].from_imagenet:
        return network.with_asymmetry(network.look_twice(trunk))
    if typed:
        facts = (architecture, size, typed.fingerprint, recipe.pretraining_epochs, recipe.seed, LEARNING_RATE)
        fingerprint = hashlib.sha256(repr(facts).encode()).hexdigest()
        done = tracking.latest({"pretraining": fingerprint, "pretraining_done": "yes"})
        if done:
            with tempfile.TemporaryDirectory() as scratch:
                found = mlflow.artifacts.download_artifacts(
                    run_id=done, artifact_path=WEIGHTS, dst_path=scratch
                )
                trunk.load_weights(found)
        else:
            _pretrain_and_keep(trunk, typed, recipe, title=architecture, fingerprint=fingerprint)
    return trunk


def _pretrain_and_keep(
    trunk: keras.Model, typed: TypedSet, recipe: Recipe, *, title: str, fingerprint: str
) -> None:
    """Pretrain in a run of its own, and leave the weights there."""
    with tracking.run(f"pretraining of {title}", nested=True):
        mlflow.set_tag("pretraining", fingerprint)
        mlflow.log_params({"types": ", ".join(typed.types), "images": len(typed.scans)})
        history: tracking.History = []
        pretrain(trunk, typed, recipe, title=title, report=history.append)
        tracking.log_history(history)
        with tempfile.TemporaryDirectory() as scratch:
            kept = Path(scratch) / WEIGHTS
            trunk.save_weights(kept)
            mlflow.log_artifact(str(kept))
        mlflow.set_tag("pretraining_done", "yes")


def pretrain(trunk: keras.Model, typed: TypedSet, recipe: Recipe, *, title: str, report: Report) -> None:
    """Train a trunk, from the weights that it has, to tell each family's types apart.

    Raises
    ------
    TrainingError
        When the training diverges.
    """
    from . import network  # noqa: PLC0415 - TensorFlow
    from .augment import Augment  # noqa: PLC0415
    from .backend import keras  # noqa: PLC0415
    from .fit import Batches, reporter  # noqa: PLC0415

    keras.utils.set_random_seed(recipe.seed)
    size = trunk.input.shape[1]
    scan = keras.Input(trunk.input.shape[1:])
    read = network.pooled(network.maps_of(trunk, Augment(seed=recipe.seed)(scan)))
    named = keras.layers.Dense(len(typed.types))(keras.layers.Dropout(DROPOUT)(read))
    model = keras.Model(scan, named)
    pictures = Pictures(typed.scans, seed=recipe.seed)
    batches = Batches(
        [pictures.pixels(size), *(pictures.view(size, number) for number in range(VIEWS))],
        chosen=np.arange(len(typed.scans)),
        labels=np.array([scan.type for scan in typed.scans]),
        weights=np.ones(len(typed.scans)),
        batch_size=BATCH_SIZE,
        mixing=0,
        seed=recipe.seed,
    )
    steps = len(batches) * recipe.pretraining_epochs
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=LEARNING_RATE, warmup_steps=max(1, steps // 10)
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    model.compile(optimizer, _within_family(typed.families), jit_compile=False)
    with tqdm(total=steps, desc=f"pretraining {title}", unit="batch", leave=False) as bar:
        step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: bar.update())  # noqa: ARG005 - names that Keras gives
        model.fit(batches, epochs=recipe.pretraining_epochs, verbose=0, callbacks=[step, reporter(report)])


def _within_family(families: tuple[int, ...]) -> Callable[[object, object], object]:
    """Cross-entropy over the types of the true type's own family; the others' logits do not count."""
    from .backend import keras  # noqa: PLC0415 - TensorFlow

    of = np.array(families)
    outside = np.where(of[:, None] == of[None, :], 0.0, -1e9).astype(np.float32)

    def loss(true: object, logits: object) -> object:
        number = keras.ops.cast(keras.ops.reshape(true, (-1,)), "int32")
        allowed = logits + keras.ops.take(outside, number, axis=0)
        return keras.losses.sparse_categorical_crossentropy(number, allowed, from_logits=True)

    return loss

"""A challenger against the champion: how the comparison is judged and written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.evaluation.comparison import EVERYTHING
from model.release.model_card import LISTED, TITLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from model.evaluation.comparison import Comparison, Figure, Part
    from model.release.gates import Outcome
    from model.release.registry import ModelVersion

JUDGED = ("roc_auc", "balanced_accuracy")
"""Figures by which a challenger must not be worse, on all images and on every source.

Sensitivity and specificity trade against each other by the threshold alone. Each has a gate of its own, and
here their mean is judged.
"""
JUDGED_IN_ALL = (*JUDGED, "calibration_error")
"""The same on all images: within one source, the frequency of tumours shifts the calibration."""
OF_TRAININGS = (
    *("held_out_roc_auc", "held_out_balanced_accuracy", "held_out_calibration_error"),
    *("held_out_all_tumour_free_specificity", "refused_other", "refused_mri", "largest_fall"),
)
"""Figures of gates that each training measured on its own images."""
CLASSES = ("NO", "YES")


def judge(comparison: Comparison, *, new_images: bool) -> list[Outcome]:
    """Judge the first network as the challenger of the second.

    It is worse where the whole interval of a judged figure's difference is. Without new images it must also
    be better in one: otherwise nothing was learnt, and a release would be a change for its own sake. With new
    images "not worse" is enough, since it knows more.
    """
    found = list(_judged(comparison))
    worse = [_what(part, name, figure) for part, name, figure in found if figure.gain(name)[1] < 0]
    better = [_what(part, name, figure) for part, name, figure in found if figure.gain(name)[0] > 0]
    compared = f"{comparison.parts[0].images} images" if comparison.parts else "no image"
    learnt = "trained on other images than the champion" if new_images else "trained on the same images"
    return [
        {
            "name": "not_worse",
            "passed": bool(found) and not worse,
            "detail": "; ".join(worse) or f"no interval is below the champion's, on {compared} of both",
        },
        {
            "name": "learnt",
            "passed": new_images or bool(better),
            "detail": f"{learnt}; {'better: ' + '; '.join(better) if better else 'no interval is above'}",
        },
    ]


def _judged(comparison: Comparison) -> Iterator[tuple[Part, str, Figure]]:
    for part in comparison.parts:
        names = JUDGED_IN_ALL if part.name == EVERYTHING else JUDGED
        yield from (
            (part, name, part.figures[name]) for name in names if part.enough and name in part.figures
        )


def _what(part: Part, name: str, figure: Figure) -> str:
    over = figure.difference
    return f"{TITLES[name]} {over.value:+.3f} ({over.low:+.3f} to {over.high:+.3f}) on {part.name}"


def describe(
    first: ModelVersion,
    second: ModelVersion,
    comparison: Comparison,
    outcomes: Sequence[Outcome] = (),
    *,
    plot: str | None = None,
) -> str:
    """Describe a comparison as Markdown; `outcomes` are of gates, `plot` is the name of its file."""
    lines = [
        f"# {_named(first)} against {_named(second)}",
        "",
        *_table(
            ["", "A", "B"],
            [
                ["model", _named(first), _named(second)],
                ["architecture", first.architecture, second.architecture],
                ["trained on", first.dataset_name, second.dataset_name],
                ["MLflow run", first.run_id, second.run_id],
            ],
        ),
        "",
    ]
    if outcomes:
        lines += ["## Gates", ""]
        lines += [f"- {'✓' if each['passed'] else '✗'} {each['name']}: {each['detail']}" for each in outcomes]
        lines += [""]
    lines += ["## On images that neither was trained on", "", *_paired(comparison), ""]
    if plot:
        lines += [f"![ROC curves and differences]({plot})", ""]
    lines += ["## Each on the images of its own training, not paired", "", *_own(first, second), ""]
    lines += ["## Images of which they say another class", "", *_differing(comparison)]
    return "\n".join(lines) + "\n"


def _named(version: ModelVersion) -> str:
    return f"{version.name} version {version.version}"


def _paired(comparison: Comparison) -> Iterator[str]:
    if not comparison.parts:
        yield "There is no image on which both were tested."
    rows = []
    for part in comparison.parts:
        few = "" if part.enough else ", too few to judge"
        title = f"{part.name} ({part.images} in {part.groups} groups{few})"
        for name, figure in part.figures.items():
            over = figure.difference
            interval = f"{over.value:+.3f} ({over.low:+.3f} to {over.high:+.3f})"
            rows.append([title, TITLES[name], str(figure.first), str(figure.second), interval])
            title = ""
    if rows:
        yield from _table(["Images", "Figure", "A", "B", "A less B"], rows)
        yield ""
        yield f"They give {comparison.agreement or 0:.1%} of the images the same class."
        yield "Intervals: 95 %, paired bootstrap over groups of near-duplicates."
    mine, theirs = comparison.alone
    yield f"Tested on further images: A on {mine}, B on {theirs}, which cannot be paired."
    if comparison.relabelled:
        yield f"Left out for another label now: {_listed(comparison.relabelled)}."


def _own(first: ModelVersion, second: ModelVersion) -> Iterator[str]:
    rows = [
        [name, *(f"{each[name]:.3f}" if name in each else "-" for each in (first.metrics, second.metrics))]
        for name in OF_TRAININGS
        if name in first.metrics or name in second.metrics
    ]
    yield from _table(["Figure", "A", "B"], rows) if rows else ["Neither has any."]


def _differing(comparison: Comparison) -> Iterator[str]:
    rows = [
        [
            each.name,
            CLASSES[each.label],
            f"{each.first:.2f}",
            f"{each.second:.2f}",
            "A" if each.right == "first" else "B",
        ]
        for each in comparison.differing
    ]
    yield from _table(["Image", "Label", "A: p(YES)", "B: p(YES)", "Right"], rows) if rows else ["None."]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Write a table whose columns line up where it is read as text."""
    cells = [[each.replace("|", "\\|") for each in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for number, row in enumerate(cells):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"

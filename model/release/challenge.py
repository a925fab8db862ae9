"""A challenger against the champion: its gates, and the comparison in writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.evaluation.comparison import EVERYTHING
from model.release import model_card
from model.release.model_card import LISTED, TITLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.evaluation.comparison import Comparison
    from model.evaluation.metrics import Difference
    from model.release.gates import Outcome
    from model.release.registry import ModelVersion

COMPARED = ("roc_auc",)
"""Figures by which a challenger must not be worse on any source. Threshold and calibration are fitted to all
sources together: a new one moves them for the others, whatever the network learnt."""
COMPARED_IN_ALL = (*COMPARED, "balanced_accuracy", "calibration_error")
"""On all images. Sensitivity and specificity trade against each other by the threshold alone and have a gate
each: their mean is compared."""
OF_TRAININGS = (
    *("held_out_roc_auc", "held_out_balanced_accuracy", "held_out_calibration_error"),
    *("held_out_all_tumour_free_specificity", "refused_other", "refused_mri", "largest_fall"),
)
"""Figures of gates that each training measured on its own images."""


def outcomes(comparison: Comparison, *, new_images: bool) -> list[Outcome]:
    """Return whether the first network, as the challenger of the second, passes.

    It is worse where the whole interval of a compared metric's difference is. Without new images it must also
    be better in one: otherwise nothing was learnt, and a release would be a change for its own sake. With new
    images "not worse" is enough, since it knows more.
    """
    worse, better, count = [], [], 0
    for part in comparison.parts:
        for name in (COMPARED_IN_ALL if part.name == EVERYTHING else COMPARED) if part.enough else ():
            if name not in part.metrics:
                continue
            count += 1
            over = part.metrics[name].difference
            above, below = (over.low > 0, over.high < 0)[:: -1 if name == "calibration_error" else 1]
            what = f"{TITLES[name]} {_signed(over)} on {part.name}"
            better += [what] * above
            worse += [what] * below
    of = "other images than the champion" if new_images else "the same images as the champion"
    detail = "; ".join(worse) or f"no difference is below the champion's, of {count} with enough images"
    gained = f"better: {'; '.join(better)}" if better else "no difference is above the champion's"
    return [
        {"name": "not_worse", "passed": count > 0 and not worse, "detail": detail},
        {"name": "learnt", "passed": new_images or bool(better), "detail": f"trained on {of}; {gained}"},
    ]


def describe(
    first: ModelVersion,
    second: ModelVersion,
    comparison: Comparison,
    outcomes: Sequence[Outcome] = (),
    *,
    plot: str | None = None,
) -> str:
    """Describe a comparison as Markdown; `outcomes` are of gates, `plot` is the name of its file."""
    versions = (first, second)
    names = [f"{each.name} version {each.version}" for each in versions]
    paired = []
    for part in comparison.parts:
        few = "" if part.enough else ", too few to tell"
        title = f"{part.name} ({part.images} in {part.groups} groups{few})"
        for name, each in part.metrics.items():
            paired.append([title, TITLES[name], str(each.first), str(each.second), _signed(each.difference)])
            title = ""
    return model_card.render(
        "comparison.md.jinja",
        table=_table,
        names=names,
        versions=[
            ["model", *names],
            ["architecture", *(each.architecture for each in versions)],
            ["trained on", *(each.dataset_name for each in versions)],
            ["MLflow run", *(each.run_id for each in versions)],
        ],
        comparison=comparison,
        outcomes=outcomes,
        plot=plot,
        listed=LISTED,
        paired=paired,
        own=[
            [name, *(f"{each.metrics[name]:.3f}" if name in each.metrics else "-" for each in versions)]
            for name in OF_TRAININGS
            if any(name in each.metrics for each in versions)
        ],
        differing=[
            [
                *(each.name, ("NO", "YES")[each.label], f"{each.first:.2f}", f"{each.second:.2f}"),
                "BA"[each.first_is_right],
            ]
            for each in comparison.differing
        ],
    )


def _signed(over: Difference) -> str:
    return f"{over.value:+.3f} ({over.low:+.3f} to {over.high:+.3f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table whose columns line up where it is read as text."""
    if not rows:
        return "There are none."
    cells = [[each.replace("|", "\\|") for each in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)

"""Medians, ranges, ratios, and the tables and the plot made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from scripts.benchmark import figures, plot, table
from scripts.benchmark.figures import Spread
from scripts.benchmark.results import Store
from scripts.benchmark.rows import ROWS

from . import made

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmark.results import Part


def line_of(text: str, beginning: str) -> list[str]:
    """The cells of the first line of a table that begins so."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {beginning} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_spread_is_the_median_and_the_range() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)
    assert Spread.of([]) is None


def test_the_best_of_a_kind_is_the_quickest_at_that_point() -> None:
    found = figures.best(made.usual(), "framework", "jpeg-512@8")
    assert found is not None
    assert (found[0], found[1].median) == ("quick", 80)
    assert figures.best(made.usual(), "framework", "png-225@8") is None


def test_the_floor_stands_for_any_number_of_connections() -> None:
    floor = made.usual()["rows"]["floor"]
    assert figures.point_for(floor, "jpeg-512@32") == "jpeg-512"


def test_only_what_is_sent_a_tensor_stands_for_any_image() -> None:
    points = {"jpeg-512@8": made.point(5)}
    tensor = made.measured("tensor", "mlflow", points, any_image=True)
    image = made.measured("image", "mlflow", points)
    assert figures.point_for(tensor, "png-1200@8") == "jpeg-512@8"
    assert figures.point_for(image, "png-1200@8") == "png-1200@8"


def test_the_tables_show_medians_ranges_and_ratios() -> None:
    text = table.markdown(made.usual())
    servers, compared = text.split("## Ours against the rest")
    assert line_of(servers, "ours")[3] == "240 (200-300)"
    assert line_of(servers, "MLflow")[7] == "3"  # errors
    cells = line_of(compared, "jpeg-512, 8")
    assert cells[1:] == ["240 (200-300)", "quick 80", "3.0x", "mlflow 24", "10.0x", "1.25x", "3.0"]


def test_the_table_of_phases_gives_decodings_share() -> None:
    phases = table.markdown(made.usual()).split("## Where the time goes")[1]
    cells = line_of(phases, "jpeg-512, 8")
    assert cells[3:5] == ["3000", "9000"]
    assert cells[-1] == "25%"


def test_what_was_not_measured_is_said_with_its_reason() -> None:
    text = table.markdown(made.usual())
    assert "- a missing one: it did not start\n" in text
    assert "| a missing one |" not in text


def test_a_soak_is_shown_minute_by_minute() -> None:
    results = made.usual()
    minute: Part = {"requests": 600, "errors": 0, "p50_ms": 15.0, "p99_ms": 25.04, "pss_mb": 88.0}
    results["soak"] = {
        "image": "jpeg-512",
        "per_second": 80.0,
        "of_per_second": 100.0,
        "date": "2026-01-02 03:04 UTC",
        "others": 0.02,
        "part_s": 60.0,
        "parts": [minute, {**minute, "errors": 2, "p99_ms": None}],
    }
    soak = table.markdown(results).split("## Soak: 80 requests/s of jpeg-512, 80% of the 100 measured")[1]
    assert "Others used 2% of the cores" in soak
    assert line_of(soak, "minute")[1] == "requests"
    assert line_of(soak, "1") == ["1", "600", "0", "15.0", "25.0", "88.0"]
    assert line_of(soak, "2")[2:5] == ["2", "15.0", "-"]


def test_the_tables_can_be_written_before_anything_was_measured() -> None:
    text = table.markdown(made.results())
    assert text.startswith("# Benchmark")
    assert "## Servers" not in text


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    assert plot.draw(made.usual(), path)
    with Image.open(path) as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(2**24) or ()) > 6
    assert not plot.draw(made.results(), path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    kept = Store(tmp_path, network="one", command="scripts/bench")
    row = ROWS["ours"]
    kept.begin(row, versions={"numpy": "2"}, installed_mb=178.0, anew=True)
    kept.add(row, 1, made.usual()["rows"]["ours"]["rounds"]["1"])
    return kept


def test_results_of_one_row_join_those_of_others(store: Store) -> None:
    again = Store(store.path.parent, network="one", command="scripts/bench --rows floor")
    again.begin(ROWS["floor"], versions={}, installed_mb=None, anew=True)
    kept = json.loads(store.path.read_text())
    assert set(kept["rows"]) == {"ours", "floor"}
    assert again.has(ROWS["ours"], 1)
    assert not again.has(ROWS["ours"], 2)


def test_a_row_measured_anew_forgets_its_rounds_and_a_resumed_one_keeps_them(store: Store) -> None:
    store.begin(ROWS["ours"], versions={}, installed_mb=None, anew=False)
    assert store.has(ROWS["ours"], 1)
    store.begin(ROWS["ours"], versions={}, installed_mb=None, anew=True)
    assert not store.has(ROWS["ours"], 1)


def test_results_of_another_form_are_set_aside(store: Store) -> None:
    written = json.loads(store.path.read_text())
    del written["schema"]  # as before there was one
    store.path.write_text(json.dumps(written))
    assert Store(store.path.parent, network="one", command="scripts/bench").results["rows"] == {}


def test_results_of_another_network_are_set_aside(store: Store) -> None:
    other = Store(store.path.parent, network="two", command="scripts/bench")
    assert other.results["rows"] == {}
    [aside] = store.path.parent.glob("results.*.json")
    assert "ours" in json.loads(aside.read_text())["rows"]

"""Results as a run would leave them, made up so that medians and ratios are easy to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.benchmark.results import SCHEMA

if TYPE_CHECKING:
    from scripts.benchmark.results import Measured, Point, Results, Round


def point(per_second: float, *, cpu_ms: float = 10.0, p99_ms: float = 30.0, errors: int = 0) -> Point:
    return {
        "per_second": per_second,
        "p50_ms": 10.0,
        "p99_ms": p99_ms,
        "errors": errors,
        "requests": int(5 * per_second),
        "cpu_ms": cpu_ms,
        "others": 0.01,
    }


def measured(
    title: str, kind: str, *rounds: dict[str, Point], any_image: bool = False, failed: str | None = None
) -> Measured:
    def of(points: dict[str, Point]) -> Round:
        return {
            "ping_s": 0.25,
            "prediction_s": 0.3,
            "pss_mb": 80.0,
            "points": points,
            "phases": {"jpeg-512@8": {"decode_us": 3000.0, "inference_us": 9000.0}} if kind == "ours" else {},
        }

    return {
        "title": title,
        "kind": kind,
        "engine": "LiteRT",
        "workers": 2,
        "any_image": any_image,
        "date": "2026-01-02 03:04 UTC",
        "installed_mb": 178.0,
        "versions": {},
        "rounds": {str(number): of(points) for number, points in enumerate(rounds, start=1)},
        "failed": failed,
    }


def results(**rows: Measured) -> Results:
    return {
        "schema": SCHEMA,
        "network": "ab" * 32,
        "revision": "0123456789ab",
        "machine": {
            "cpu": "a processor",
            "cores": 2,
            "memory_gib": 24.0,
            "system": "Linux",
            "python": "3.11.7",
        },
        "command": "scripts/bench --quick",
        "rows": {name.replace("_", "-"): row for name, row in rows.items()},
        "engines": {},
        "soak": None,
    }


def usual() -> Results:
    """Ours at 200, 240, 300 requests/s in three rounds, beside a floor, two frameworks and MLflow."""
    return results(
        floor=measured("the floor", "floor", {"jpeg-512": point(300, cpu_ms=8.0)}),
        ours=measured(
            "ours", "ours", *({"jpeg-512@8": point(rate, cpu_ms=10.0)} for rate in (300, 200, 240))
        ),
        slow=measured("a slow framework", "framework", {"jpeg-512@8": point(60)}),
        quick=measured("a quick framework", "framework", {"jpeg-512@8": point(80)}),
        mlflow=measured("MLflow", "mlflow", {"jpeg-512@8": point(24, errors=3)}),
        missing=measured("a missing one", "framework", failed="it did not start\nfor many reasons"),
    )

"""Where the repository's files are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTAINER = ROOT / "container"
LAMBDAS = ROOT / "infra" / "lambdas"
ENVIRONMENTS = ROOT / "infra" / "environments"
RELEASES = ROOT / "infra" / "releases"
OPENAPI = ROOT / "infra" / "site" / "openapi.json"

"""Maintain lock files, pinned versions, the base image and its local one, and check the HTTP contract."""

from __future__ import annotations

import argparse
import importlib

TOOLS = ("base-image", "contract", "lock", "pin", "rebuild")


def main(arguments: list[str] | None = None) -> int | None:
    """Run one tool. Each is imported by its name only: `base-image` runs before anything is installed."""
    parser = argparse.ArgumentParser(prog="scripts/dev", description=__doc__)
    parser.add_argument("tool", choices=TOOLS, help="see scripts/dev TOOL --help")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the tool")
    options = parser.parse_args(arguments)
    tool = importlib.import_module(f"scripts.dev_tools.{options.tool.replace('-', '_')}")
    status: int | None = tool.main(options.arguments)
    return status

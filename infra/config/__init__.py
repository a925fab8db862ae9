"""The settings of one environment: a TOML file read into one typed, frozen value."""

from __future__ import annotations

from infra.config.environment import (
    GitHub,
    RetentionDays,
    Settings,
    SettingsError,
    Throttle,
    known_environments,
    load,
)
from infra.paths import ENVIRONMENTS

__all__ = [
    "ENVIRONMENTS",
    "GitHub",
    "RetentionDays",
    "Settings",
    "SettingsError",
    "Throttle",
    "known_environments",
    "load",
]

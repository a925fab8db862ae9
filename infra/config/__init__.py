"""The settings of one environment: a TOML file read into one typed, frozen value."""

from __future__ import annotations

from infra.config.environment import Settings, SettingsError, known_environments, load
from infra.paths import ENVIRONMENTS

__all__ = ["ENVIRONMENTS", "Settings", "SettingsError", "known_environments", "load"]

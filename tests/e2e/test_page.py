"""The page as a person meets it: Chromium, the real gateway, a dropped image."""

from __future__ import annotations

"""Roles that GitHub workflows assume."""

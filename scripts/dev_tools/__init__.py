"""Maintenance of the project itself."""

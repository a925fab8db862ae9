"""Clients of a deployed gateway."""

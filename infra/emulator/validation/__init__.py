"""Requests as AWS checks them before it does anything: see docs/requests.md."""

"""Promotion, deployment and everything after it, and the demo on local AWS."""

"""What the commands of this folder do: promotion, deployment, smoke test, and the laptop's demo.

This is the one place where `model/` (what was trained) and `infra/` (what is declared) meet.
"""

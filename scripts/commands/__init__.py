"""The commands: `scripts/NAME` runs `main` of the module of that name."""

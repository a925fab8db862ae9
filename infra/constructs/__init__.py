"""The building blocks of the stacks, one capability per file."""

"""The building blocks of the stacks: one capability a file."""

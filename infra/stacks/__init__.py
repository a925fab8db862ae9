"""The stacks of an environment, which only compose constructs."""

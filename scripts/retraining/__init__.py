"""Training again with what was served and labelled, up to a branch that a person reviews."""

"""The peers: each server as its own documentation has it, around the project's predictor where it can be."""

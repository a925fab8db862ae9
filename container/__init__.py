"""The serving container: decodes an image, judges it, answers; imports nothing of the project but itself."""

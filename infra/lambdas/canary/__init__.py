"""The scheduled Lambda that checks the golden answers."""

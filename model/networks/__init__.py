"""The encoder and its weights, the architectures on it, and the familiarity of a view."""

"""From a trained network to a release: registry, gates, artifact, model card, golden answers."""

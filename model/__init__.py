"""From a folder of images to a champion in the MLflow registry and its artifact. One verb a file."""

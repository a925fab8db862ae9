"""Training: configuration, learners, fits, and what is logged to MLflow."""

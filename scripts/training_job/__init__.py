"""Training as a SageMaker pipeline."""

"""Training as a SageMaker training job."""

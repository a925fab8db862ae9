"""The SageMaker model, endpoint configuration and endpoint, and how they are rolled out and scaled."""

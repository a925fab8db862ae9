"""A small SageMaker: models, endpoint configurations, and endpoints whose variants serve real requests."""

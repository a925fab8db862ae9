"""A small SageMaker: models, endpoint configurations, and endpoints whose variants really run."""

"""The system on AWS, declared: three stacks per environment, filled by a release record."""

"""What an environment costs by the month."""

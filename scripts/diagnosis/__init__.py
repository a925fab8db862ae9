"""What `scripts/doctor` and `scripts/deploy` check of an account, and the faults. Nothing is changed."""

"""What `scripts/doctor` checks: this machine, and the account of an environment. Nothing is changed."""

"""Reading what an environment served, and comparing it with what its models were trained on."""

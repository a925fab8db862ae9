"""The REST API, the Lambda behind it, the firewall and the user pool."""

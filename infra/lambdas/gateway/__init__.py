"""The Lambda behind the API: serves the page and forwards images to the endpoint."""

"""The documents that the gateway serves: the page, the API documentation and the model card."""

"""The stacks of an environment: registry, endpoint, gateway; sight and delivery where its file asks for them.

Each only composes constructs.
"""

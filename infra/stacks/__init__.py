"""Three stacks per environment: registry, endpoint, gateway. Each only composes constructs."""

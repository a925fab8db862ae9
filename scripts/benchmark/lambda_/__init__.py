"""What the gateway's Lambda adds to a request, beside the least that a handler can do and beside a peer."""

"""What `scripts/bench` does: the server beside its peers and its floor, with one network and one client."""

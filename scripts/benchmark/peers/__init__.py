"""What is compared: each server as its own documentation would have it made for this network."""

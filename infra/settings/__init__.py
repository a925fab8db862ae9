"""The parts of an environment's settings, each with the rules that AWS would enforce late."""

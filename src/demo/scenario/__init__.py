"""The story that the simulated cluster tells, as objects."""

"""The cache: one SQLite file that the scanner writes and everybody else reads."""

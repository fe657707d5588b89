"""One declaration per Kubernetes kind: its API path, its frozen record, and the pure function from redacted object to record."""

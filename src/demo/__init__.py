"""A simulated cluster on loopback that speaks the Kubernetes HTTP API, for trying the product with nothing installed."""

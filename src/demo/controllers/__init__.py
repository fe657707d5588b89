"""What moves the simulated cluster: scheduler, kubelets and controllers, one tick at a time."""

"""The one-shot commands of `main`: each a function of settings and arguments that prints and returns an exit code."""

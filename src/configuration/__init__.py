"""Ground floor of every process: where settings come from, the exception tree, logging, and how a command reports failure."""

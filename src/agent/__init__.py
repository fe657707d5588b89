"""The agent: a language model, the cache-first gateway between it and the cluster, and the screens a person uses."""

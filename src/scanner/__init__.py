"""When and how clusters are scanned into the cache, without a language model; the `scanner` command."""

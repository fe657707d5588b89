"""What a person sees: safe text, tables that fit, streamed answers, approval. Shared by the REPL and the commands."""

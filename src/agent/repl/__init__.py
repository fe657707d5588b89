"""The interactive session: the prompt, its slash commands, and the turn that asks the model."""

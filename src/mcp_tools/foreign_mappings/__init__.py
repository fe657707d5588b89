"""Other people's servers that the scanner can work through: what it asks of our own server, said in their tools."""

"""The MCP server with its tools and redaction, and the client side that calls it or other people's servers."""

"""Questions: each one takes a config and answers with a result."""

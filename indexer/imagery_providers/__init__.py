"""Who gives pictures of streets: one module for each provider, and what they have in common."""

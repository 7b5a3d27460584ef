"""Probes: how well labels at places can be read out of location embeddings, by a fixed protocol."""

"""Encoders: photos, places and texts to unit vectors, and the sphere they live on."""

"""The inside of the HTTP service: models, galleries, limits, and the threads that they work in."""

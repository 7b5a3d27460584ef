"""Learning which region a photo was taken in, and finding out whether that was learned."""

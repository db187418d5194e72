"""What the playlist models are compared with."""

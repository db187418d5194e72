"""Playlist models: representations of tracks from how people order music, and from its sound."""

"""Transforms of views: what happens to a crop before the network sees it."""

"""Strategies: which alerts go to which receivers."""

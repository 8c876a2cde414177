"""Hosts that load us in their own process: one file for each, and what they share."""

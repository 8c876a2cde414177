"""Bodies: what is POSTed."""

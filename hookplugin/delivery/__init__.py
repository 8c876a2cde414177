"""Delivery: from the outbox to the receiver."""

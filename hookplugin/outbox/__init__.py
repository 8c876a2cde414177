"""The outbox: where accepted deliveries wait."""

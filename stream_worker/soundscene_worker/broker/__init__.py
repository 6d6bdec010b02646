"""The edge to Kafka: one protocol, a real cluster and one in memory behind it."""

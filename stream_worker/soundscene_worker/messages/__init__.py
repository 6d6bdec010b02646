"""What travels over Kafka: audio chunks, predictions and dead letters, each written and checked in one place."""

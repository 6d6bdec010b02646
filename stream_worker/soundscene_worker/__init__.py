"""How chunks arrive and predictions leave: Kafka, offsets, metrics and health around the plugin."""

"""What a trained system loses when it is stored in fewer bytes."""

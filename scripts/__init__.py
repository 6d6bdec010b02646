"""What a developer starts from the repository's root: real services for tests and the demo, and generators."""

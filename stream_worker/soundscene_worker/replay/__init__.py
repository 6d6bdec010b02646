"""Scoring a part of the log again, beside the first results."""

"""Acoustic scene classification for sound that never stops."""

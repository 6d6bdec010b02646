"""A simulated sensor: recordings or made-up scenes, published as microphones would, faults included when asked for."""

"""How far a bundle can be trusted: intervals, calibration, robustness, selective accuracy, cost, and one report."""

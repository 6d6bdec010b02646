"""`make demo`: simulated sensors, a broker, two workers, a live table, and the auditor's verdict."""

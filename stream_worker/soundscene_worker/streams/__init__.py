"""The pure middle of the worker: from records in log order to complete windows and the offsets they need."""

"""The auditor: what must have been published, worked out from the log alone, against what was."""

"""Studies behind the course: fingerprint, sweep and bench, each with its own figure."""

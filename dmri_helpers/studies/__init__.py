"""Studies: measurements of methods, metrics and data, each with its own figure or rows."""

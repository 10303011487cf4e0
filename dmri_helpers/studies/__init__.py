"""Studies behind the course, each with its own figure: fingerprint, sweep, bench, metric passport, data crimes."""

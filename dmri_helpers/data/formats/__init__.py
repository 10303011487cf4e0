"""One reader for each file format; a reader loads its library only when a file asks for it."""

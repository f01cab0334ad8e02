"""A model folder over HTTP: an endpoint for programs, a page for people."""

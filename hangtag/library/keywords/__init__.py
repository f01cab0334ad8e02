"""Keywords that other programs keep with an image: inside its file, and in files beside it."""

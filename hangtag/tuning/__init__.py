"""Many trainings: the search for better settings."""

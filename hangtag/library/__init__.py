"""What the user has: designs, tags, the formats they come in, and how they are split."""

"""The review of a library's tags: questions, answers, and what they change."""

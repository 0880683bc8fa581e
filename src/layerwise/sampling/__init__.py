"""Samples of what a stack has learnt: chains through its layers' models, how well they mix, and what they are worth."""

"""Broken twins of what the project promises: a check of safety must fail on each."""

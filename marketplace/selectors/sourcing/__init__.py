"""Sourcing: whose models we run on, what it costs, what we could switch."""

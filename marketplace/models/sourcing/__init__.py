"""Whose models our own products run on, what that costs, and who owes whom what."""

"""Outcomes as people see them: tables, and a picture."""

"""Background work of the catalog. Tasks carry ids, and are safe to deliver twice."""

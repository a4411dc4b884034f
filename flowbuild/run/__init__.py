"""States to events: what is performed, what is reused, in what order, and why."""

"""Actions to events: the engines, and the policies that a kernel enforces on what they run."""

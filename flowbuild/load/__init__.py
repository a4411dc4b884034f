"""Loading: from text to targets."""

"""Maximum inner product search over immutable segments."""

"""How requests and pixels move between the two sides of the shared server."""

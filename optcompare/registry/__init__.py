"""How plugins are found, and the hooks that they implement."""

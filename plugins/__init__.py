"""What surrounds a matched route, as Bottle plugins. Each decides once, from the route's options, if it has a part."""

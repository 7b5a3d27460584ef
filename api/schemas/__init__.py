"""What goes over HTTP, as types: the service checks requests by them, the client reads answers as them."""

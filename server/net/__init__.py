"""The sockets: HTTP and WebSockets within bounds of time and size, up to the application."""

"""Who is connected here: sockets by principal, their clocks, and their end when it drains."""

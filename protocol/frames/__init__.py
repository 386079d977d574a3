"""Every frame, as one frozen struct each: from clients, from the server, and what they carry."""

"""What the server says of itself: ids, sizes and codes, never what people wrote."""

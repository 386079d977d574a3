"""What runs Parley elsewhere: the image, the composition, the proxy before several instances."""

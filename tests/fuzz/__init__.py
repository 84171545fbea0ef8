"""Whatever a server, or a crash, leaves us to read: the worst that may come of it is an error of our own."""

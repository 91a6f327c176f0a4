beside() { printf beside; }

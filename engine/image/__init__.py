"""make vm-image: the image that virtual machines start from, made of Debian packages."""

"""What runs share of a repository: the objects that were fetched from its remote, and the files of a base commit."""

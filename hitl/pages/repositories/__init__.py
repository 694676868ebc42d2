"""The pages of repositories: the list, a new one, and one repository with its environment. Forms go to actions.py."""

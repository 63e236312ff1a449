"""`python -m workers join`: checks this machine and the server, then runs workers beside those of other machines."""

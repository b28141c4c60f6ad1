"""Published results that can be reproduced by one command."""

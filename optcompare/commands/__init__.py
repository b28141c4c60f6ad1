"""The commands that train, a module each; those that look at what is there stand in :mod:`optcompare.cli`."""

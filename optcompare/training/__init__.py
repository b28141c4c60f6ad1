"""Turn trials into records. Trainers receive live objects, and use no plugin or file."""

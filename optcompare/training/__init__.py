"""Trainers turn trials into records; they receive live objects, and know no plugin or file."""

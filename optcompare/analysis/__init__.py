"""Statistics of saved records: certificate, summary, paired comparisons, goals, fits, verdict.

No torch, no drawing.
"""

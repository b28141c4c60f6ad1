"""What the saved records say: certificate, summary, paired comparisons, goals, fits, verdict. No torch, no drawing."""

"""The page of a run that a person opens: what is gathered, how it is drawn, where it is kept."""

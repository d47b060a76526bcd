"""ModelGate: the rules that bless a model, and their verdict."""

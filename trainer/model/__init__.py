"""The network: backbone, head and weights."""

"""The network: backbone, head, weights."""

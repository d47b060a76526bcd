"""What runs: configuration, the graph, its evaluation, and the runners."""

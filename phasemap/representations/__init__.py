"""INSIDE the network: the closed-form solution and the measures of periodicity."""

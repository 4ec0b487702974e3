"""How good a cascade is, and how good finished videos are: metrics, tables, JSON and a plot."""

"""The DATA: data sets, splits, label corruption, and the random streams behind them."""

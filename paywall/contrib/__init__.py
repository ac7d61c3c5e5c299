"""For the frameworks that people use: each module is imported where its framework is installed."""

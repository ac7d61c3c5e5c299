"""What the owner is shown and told: sums by day, alerts, how the engine is doing."""

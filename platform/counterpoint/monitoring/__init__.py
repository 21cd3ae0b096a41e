"""What operators are shown and told: metrics, a dashboard's source, and alerts."""

"""What every package uses: errors, the strict model, console, artifacts, ML Metadata queries."""

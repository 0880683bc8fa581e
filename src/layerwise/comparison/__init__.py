"""Does pre-training help, on these rows? Two arms that start alike, tuned alike, tested alike, and a verdict."""

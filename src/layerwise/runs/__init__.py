"""What a piece of work leaves on disk: the run folder, its history, its checkpoints."""

"""What a stack says of how likely a row is: energies and scores, moves towards the likely rows, and anomalies."""

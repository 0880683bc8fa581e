"""Tables as they come into rows that a network takes: gaps filled, text and dates as numbers, one scale.

This folder exists so that one fitted value says how, from the training rows alone, and says it of test rows and of new
ones too. ``choices.py`` names the ways, ``columns.py`` says what each column is and which are left out,
``estimator.py`` builds scikit-learn's transformer, ``matrix.py`` reads what it takes, ``matching.py`` finds the same
columns in another table, and ``preparation.py`` is what others call.
"""

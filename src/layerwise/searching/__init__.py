"""The search for settings: what is tried, what a trial measures, and the journal that several processes share.

The room is not called by the verb: a package of that name would take the place of the function ``layerwise.search`` as
soon as anything imported it.
"""

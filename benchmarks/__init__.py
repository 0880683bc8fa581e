"""Speed and memory, measured side by side: what is measured and how it is read stands in the README beside this."""

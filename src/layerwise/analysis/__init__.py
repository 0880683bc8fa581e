"""What a network does and what training did to it: measured, and told as data that the report draws."""

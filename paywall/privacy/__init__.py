"""What is personal: which it is, how long it is kept, and what somebody may ask to have or to have
forgotten."""

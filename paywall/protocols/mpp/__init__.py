"""MPP, the Machine Payments Protocol: HTTP authentication by payment (draft-httpauth-payment)."""

"""What the families' tests share lies here, beside their folders."""

"""The numbered history of the fixed tables. Kind tables have none: they are dropped and scanned anew."""

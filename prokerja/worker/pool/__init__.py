"""The parent's side of the realizers: it starts, feeds, watches and reaps them."""

"""An app whose training is known in advance, and whose server reports over a socket to the test that runs it."""

"""Dual encoders: profiles as data, tokenisation, weights, runtimes and the encoder made of them."""

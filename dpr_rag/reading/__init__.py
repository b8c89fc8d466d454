"""DPR's second stage: a reader that reranks what was retrieved and finds the answers in it."""

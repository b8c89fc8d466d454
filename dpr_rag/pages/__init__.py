"""Pages for a browser: the chatbot over a store. They say nothing that the core does not know."""

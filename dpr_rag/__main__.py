"""The command line as `python -m dpr_rag`, for where its command is not on the path."""

from dpr_rag.cli import main

if __name__ == "__main__":
    main()
